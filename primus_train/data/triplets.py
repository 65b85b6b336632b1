"""Batches of triplets, and the order in which an epoch visits the rows."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from primus_train.data.facts import read_facts
from primus_train.data.mapped import MappedRows
from primus_train.data.store import StoreData
from primus_train.seeds import derive_seed
from schemas.errors import UsageError

__all__ = ["Batch", "Place", "Triplets", "epoch_order"]

Place = Literal["auto", "host", "device"]

_SHARE: Final = 0.5
"""Of a GPU's free memory that ``auto`` gives to arrays."""
_ROWS_AT_ONCE: Final = 4096
"""Rows that go to the device at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """A batch of triplets.

    Attributes:
        imu: (B, C, T) float32.
        video: (B, Dv) float32; of no meaning where not ``valid[:, 1]``.
        text: (B, Dt) float32; of no meaning where not ``valid[:, 2]``.
        valid: (B, 3) bool [imu, video, text].
        facts: (B, FACTS) int64, what is known of each segment (`primus_train.data.facts`).
    """

    imu: Tensor
    video: Tensor
    text: Tensor
    valid: Tensor
    facts: Tensor

    def __len__(self) -> int:
        return int(self.valid.shape[0])


def _fits(bytes_needed: int, *, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return bytes_needed <= _SHARE * free


def _placed(rows: Tensor | MappedRows, *, device: torch.device) -> Tensor:
    """Return all rows in the device's memory; mapped ones go there without a copy in between."""
    if isinstance(rows, Tensor) and rows.device.type == device.type:
        return rows
    out = torch.empty(rows.shape, dtype=rows.dtype, device=device)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        out[start : start + _ROWS_AT_ONCE] = rows[start : start + _ROWS_AT_ONCE].to(device)
    return out


def _take(values: Tensor | MappedRows, index: Tensor) -> Tensor:
    # Rows are copied whole; indexing by brackets would go through them value by value.
    return values.index_select(0, index) if isinstance(values, Tensor) else values[index]


class Triplets:
    """A store's rows as batches on a device.

    Args:
        store: the version, in memory or on disk.
        video_of: (N,) int64, the row whose video embedding each row shows; None is its own.
        device: where batches go.
        place: ``device`` copies the arrays there once (on a CPU: a mapped version to memory), and
            a batch is an index operation on it; ``host`` leaves them and sends each batch from
            pinned memory; ``auto`` is ``device`` on a GPU with room for them.

    Attributes:
        place: ``host`` or ``device``.
        classes: the version's labels in order; a fact's label is a place among them.
    """

    def __init__(
        self,
        store: StoreData,
        *,
        video_of: npt.NDArray[np.int64] | None = None,
        device: torch.device | None = None,
        place: Place = "auto",
    ) -> None:
        self.store = store
        self.device = device or torch.device("cpu")
        if place not in {"auto", "host", "device"}:
            raise UsageError(f"place must be auto, host or device, got {place!r}")
        if place == "auto":
            fits = _fits(store.loading.array_bytes, device=self.device)
            place = "device" if fits else "host"
        self.place: Literal["host", "device"] = place
        self._video_of = None if video_of is None else torch.from_numpy(video_of)
        self._imu, self._video, self._text = store.imu, store.video, store.text
        self._valid = store.valid
        facts = read_facts(store)
        self.classes, self._facts = facts.classes, facts.values
        if place == "device":
            self._imu = _placed(store.imu, device=self.device)
            self._video = _placed(store.video, device=self.device)
            self._text = _placed(store.text, device=self.device)
            self._valid = _placed(store.valid, device=self.device)
            self._facts = _placed(facts.values, device=self.device)

    def _send(self, values: Tensor) -> Tensor:
        """Return values on the device; from pinned memory, so that the host need not wait."""
        if self.device.type != "cuda" or values.is_cuda:
            return values.to(self.device)
        return values.pin_memory().to(self.device, non_blocking=True)

    def batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Return the triplets of ``rows`` (B,)."""
        index = torch.from_numpy(rows)
        shown = index if self._video_of is None else self._video_of[index]
        if self.place == "device":
            index, shown = self._send(index), self._send(shown)
        return Batch(
            imu=self._send(_take(self._imu, index)),
            video=self._send(_take(self._video, shown)).float(),
            text=self._send(_take(self._text, index)).float(),
            valid=self._send(_take(self._valid, index)),
            facts=self._send(_take(self._facts, index)),
        )


def epoch_order(
    rows: npt.NDArray[np.int64], *, seed: int, epoch: int, batch_size: int, steps: int | None = None
) -> npt.NDArray[np.int64]:
    """Return the rows of one epoch as whole batches (steps, batch_size).

    The order depends on ``seed`` and ``epoch`` alone. The rows left over by the last whole batch
    sit out this epoch: a short batch would be an easier contrastive task. With ``steps`` an epoch
    is that long: it goes over fewer rows again, each time in another order, and no batch holds one
    twice.
    """
    whole = len(rows) // batch_size
    wanted = whole if steps is None else steps
    passes = [np.empty((0, batch_size), dtype=np.int64)]
    for number in range(-(-wanted // max(whole, 1))):
        again = (number,) if number else ()
        generator = np.random.default_rng(derive_seed(seed, "order", epoch, *again))
        passes.append(generator.permutation(rows)[: whole * batch_size].reshape(whole, batch_size))
    return np.concatenate(passes)[:wanted]
