"""The ring of past embeddings in which neighbours are found (Das et al. 2025, eq. 3)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.data.facts import WINDOW, unknown_facts

__all__ = ["Bank"]


class Bank(nn.Module):
    """The last ``size`` embeddings of each modality; slot k of all of them is one segment.

    Everything is a registered buffer: a resumed run finds the neighbours it would have found.

    Args:
        size: K, the number of slots.
        widths: modality: length of its embedding.

    Attributes:
        facts: (K, FACTS) int64, what is known of the segment in each slot.
    """

    position: Tensor
    filled: Tensor
    facts: Tensor

    def __init__(self, *, size: int, widths: Mapping[str, int]) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size
        self.names = tuple(widths)
        for name, width in widths.items():
            self.register_buffer(f"slots_{name}", torch.zeros(size, width))
        self.register_buffer("facts", unknown_facts(size))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return int(self.filled)

    def _slots(self, name: str) -> Tensor:
        return self.get_buffer(f"slots_{name}")

    @torch.no_grad()
    def enqueue(
        self,
        embeddings: Mapping[str, Tensor],
        *,
        facts: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> None:
        """Write rows (B, D) of every modality over the oldest slots, normalised.

        Of more rows than slots only the last ``size`` stay. Shapes never depend on ``keep``, so
        the device is not asked how many rows there are.

        Args:
            embeddings: rows by modality.
            facts: (B, FACTS) int64 of their segments; None is nothing known.
            keep: (B,) bool, the rows that enter; None is all.

        Raises:
            ValueError: if the modalities are not the bank's, or differ in their number of rows.
        """
        counts = {name: len(rows) for name, rows in embeddings.items()}
        if set(counts) != set(self.names) or len(set(counts.values())) != 1:
            raise ValueError(
                f"embeddings must hold equally many rows of {', '.join(self.names)}, got {counts}"
            )
        offered = next(iter(counts.values()))
        if offered == 0:
            return
        device = self.position.device
        if keep is None:
            keep = torch.ones(offered, dtype=torch.bool, device=device)
        # The r-th row that enters, r = 0, 1, ..., goes to slot (position + r) mod size. Seen from
        # the slots: the one at offset d gets the last such row with r = d mod size, if any.
        entered = keep.cumsum(0)
        count = entered[-1]
        offset = torch.arange(min(offered, self.size), device=device)
        slot = (self.position + offset) % self.size
        rank = offset + (count - 1 - offset).clamp(min=0) // self.size * self.size
        source = torch.searchsorted(entered, rank + 1).clamp(max=offered - 1)
        written = (offset < count)[:, None]
        if facts is None:
            facts = unknown_facts(offered, device=device)
        pairs = [(self.facts, facts.index_select(0, source))]
        for name, rows in embeddings.items():
            new = F.normalize(rows.detach().index_select(0, source).float(), dim=1)
            pairs.append((self._slots(name), new))
        for slots, new in pairs:
            slots.index_copy_(0, slot, torch.where(written, new, slots.index_select(0, slot)))
        self.position.copy_((self.position + count) % self.size)
        self.filled.copy_((self.filled + count).clamp(max=self.size))

    @torch.no_grad()
    def find(self, queries: Tensor, *, by: str, facts: Tensor | None = None) -> Tensor:
        """Return for each query (B, D) the slot whose ``by`` embedding has the largest cosine.

        Only filled slots of other windows are searched; ties go to the lowest slot. A segment may
        have entered in an earlier epoch, and several sentences may be about one window: its own
        window's past embedding, which would nearly always win, is no neighbour.

        Args:
            queries: of any norm.
            by: modality of the queries.
            facts: (B, FACTS) int64 of their segments; None, like a window that is not known, bars
                no slot.

        Returns:
            (B,) int64; -1 where no slot is filled but with the query's own window, and for a query
            that holds a NaN.
        """
        slots = self._slots(by)
        empty = torch.arange(self.size, device=slots.device) >= self.filled
        # Added inside the product: -inf where nothing is stored yet, 0 elsewhere.
        bar = slots.new_zeros(self.size).masked_fill(empty, -torch.inf)
        cosine = torch.addmm(bar, F.normalize(queries.float(), dim=1), slots.T)
        if facts is not None:
            window = facts[:, WINDOW]
            # Slots of unknown windows hold -1, which must not be the own of an unknown query.
            window = window.masked_fill(window < 0, -2)
            cosine.masked_fill_(window[:, None] == self.facts[:, WINDOW], -torch.inf)
        best = cosine.argmax(dim=1)
        found = cosine.gather(1, best[:, None])[:, 0] > -torch.inf
        return torch.where(found, best, -1)

    def get(self, index: Tensor, *, name: str) -> Tensor:
        """Return the ``name`` embeddings (B, D) of slots ``index`` (B,) >= 0, unit or zero."""
        return self._slots(name).index_select(0, index)
