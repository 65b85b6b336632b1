"""The ring of past embeddings in which neighbours are found (Das et al. 2025, eq. 3)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

__all__ = ["Bank"]


class Bank(nn.Module):
    """The last ``size`` embeddings of each modality; slot k of all of them is one segment.

    Everything is a registered buffer: a resumed run finds the neighbours it would have found.

    Args:
        size: K, the number of slots.
        widths: modality: length of its embedding.
    """

    position: Tensor
    filled: Tensor

    def __init__(self, *, size: int, widths: Mapping[str, int]) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size
        self.names = tuple(widths)
        for name, width in widths.items():
            self.register_buffer(f"slots_{name}", torch.zeros(size, width))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return int(self.filled)

    def _slots(self, name: str) -> Tensor:
        return self.get_buffer(f"slots_{name}")

    @torch.no_grad()
    def enqueue(self, embeddings: Mapping[str, Tensor]) -> None:
        """Write rows (B, D) of every modality over the oldest slots, normalised.

        Of more rows than slots only the last ``size`` stay.

        Raises:
            ValueError: if the modalities are not the bank's, or differ in their number of rows.
        """
        counts = {name: len(rows) for name, rows in embeddings.items()}
        if set(counts) != set(self.names) or len(set(counts.values())) != 1:
            raise ValueError(
                f"embeddings must hold equally many rows of {', '.join(self.names)}, got {counts}"
            )
        count = next(iter(counts.values()))
        kept = min(count, self.size)
        start = int(self.position) + count - kept
        index = torch.arange(start, start + kept, device=self.position.device) % self.size
        for name, rows in embeddings.items():
            self._slots(name)[index] = F.normalize(rows[count - kept :].detach().float(), dim=1)
        self.position.fill_((start + kept) % self.size)
        self.filled.fill_(min(len(self) + count, self.size))

    @torch.no_grad()
    def find(self, queries: Tensor, *, by: str) -> Tensor:
        """Return for each query (B, D) the slot whose ``by`` embedding has the largest cosine.

        Only filled slots are searched; ties go to the lowest slot.

        Returns:
            (B,) int64.

        Raises:
            ValueError: if the bank is empty.
        """
        if len(self) == 0:
            raise ValueError("bank must hold at least one embedding before it is searched")
        slots = self._slots(by)[: len(self)]
        return (F.normalize(queries.float(), dim=1) @ slots.T).argmax(dim=1)

    def get(self, index: Tensor, *, name: str) -> Tensor:
        """Return the ``name`` embeddings (B, D) of slots ``index`` (B,)."""
        return self._slots(name)[index]
