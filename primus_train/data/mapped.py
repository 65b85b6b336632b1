"""Rows of an array that stays on disk: only the pages that a batch touches are read."""

import mmap
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from primus_train.data.chunks import RawChunks

__all__ = ["MappedRows"]

_OPEN: Final = 256
"""Chunk files mapped at once: each holds a file descriptor, of which a process has about 1000."""


class MappedRows:
    """An array (N, ...) in memory-mapped chunk files, indexed by rows as a tensor would be.

    What comes back is always a copy in memory, equal to the bit to that of the loaded array.

    Args:
        raw: where the array lies; its files have been checked.
    """

    def __init__(self, raw: RawChunks) -> None:
        self._raw = raw
        self._map = lru_cache(maxsize=_OPEN)(self._open)
        self.shape = torch.Size(raw.shape)
        self.dtype: torch.dtype = torch.from_numpy(np.empty(0, raw.dtype)).dtype

    def __len__(self) -> int:
        return self.shape[0]

    def _open(self, chunk: int) -> np.memmap[Any, Any]:
        raw = self._raw
        mapped = np.memmap(
            raw.path(chunk), dtype=raw.dtype, mode="r", shape=(raw.rows, *raw.shape[1:])
        )
        handle = getattr(mapped, "_mmap", None)
        if isinstance(handle, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
            # Rows come in random order: pages around them would be read for nothing.
            handle.madvise(mmap.MADV_RANDOM)
        return mapped

    def _ahead(self, chunk: int, rows: npt.NDArray[np.int64]) -> None:
        """Ask for the pages of a chunk's rows at once; copying then waits once, not once a row."""
        handle = getattr(self._map(chunk), "_mmap", None)
        if not isinstance(handle, mmap.mmap) or not hasattr(mmap, "MADV_WILLNEED"):
            return
        row_bytes = self._raw.chunk_bytes // self._raw.rows
        for start in (rows * row_bytes).tolist():
            first = start // mmap.PAGESIZE * mmap.PAGESIZE
            handle.madvise(mmap.MADV_WILLNEED, first, start + row_bytes - first)

    def _rows(self, index: slice | Sequence[int] | Tensor) -> npt.NDArray[np.int64]:
        if isinstance(index, slice):
            return np.arange(*index.indices(len(self)), dtype=np.int64)
        given = np.asarray(index)
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise IndexError(
                f"index must be a slice or whole numbers (n,), got {given.dtype} {given.shape}"
            )
        rows = given.astype(np.int64)
        if len(rows) and not (-len(self) <= rows.min() and rows.max() < len(self)):
            raise IndexError(
                f"rows must lie in [-{len(self)}, {len(self)}), got {rows.min()} to {rows.max()}"
            )
        return np.where(rows < 0, rows + len(self), rows)

    def __getitem__(self, index: slice | Sequence[int] | Tensor) -> Tensor:
        """Return a slice of rows, or the rows (n,) of a list or tensor of whole numbers."""
        rows = self._rows(index)
        out = np.empty((len(rows), *self.shape[1:]), self._raw.dtype)
        order = np.argsort(rows, kind="stable")
        chunks, inside = np.divmod(rows[order], self._raw.rows)
        numbers, starts = np.unique(chunks, return_index=True)
        stops = np.append(starts, len(rows))[1:]
        spans = list(zip(numbers.tolist(), starts.tolist(), stops.tolist(), strict=True))
        if not isinstance(index, slice):
            for number, start, stop in spans[:_OPEN]:
                self._ahead(number, inside[start:stop])
        for number, start, stop in spans:
            out[order[start:stop]] = self._map(number)[inside[start:stop]]
        return torch.from_numpy(out)
