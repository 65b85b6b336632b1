"""One embedding of each segment's grid frames, in one bounded pass over the frames part."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch.nn.functional import embedding_bag

from pipelines.encoders.base import FramePooler
from pipelines.segments.filters import PRESENT, Faults
from schemas.errors import TakeError

__all__ = ["NO_DIRECTION", "find_pooling_faults", "pool_frames", "unit_rows"]

# A finite float16 is a whole number of 2^-24, below 2^40 of them. A float64 holds every whole
# number up to 2^53: a sum of this many is exact, in whatever order and by whatever partial sums.
_EXACT_FRAMES: Final = 1 << 13
# Frames taken in before windows are pooled: 2 MB in float64 at 512 values a frame.
_FRAMES_AT_ONCE: Final = 512
_COLUMNS: Final = ["t_ns", "embedding"]

_NOT_FINITE: Final = "embedding_not_finite"
_ZERO: Final = "embedding_zero"
NO_DIRECTION: Final = frozenset({_NOT_FINITE, _ZERO})
"""What may be wrong with an embedding that frames were pooled to."""


def pool_frames(
    batches: Iterable[pa.RecordBatch],
    *,
    start_ns: npt.NDArray[np.int64],
    end_ns: npt.NDArray[np.int64],
    dim: int,
    pooler: FramePooler | None = None,
) -> npt.NDArray[np.float16]:
    """Pool the raw embeddings of the frames in each ``[start_ns, end_ns)``, then normalise.

    By default the mean, in float64, whose sums of float16 are exact: the bits depend on a
    segment's own frames alone. Only the frames that some unfinished segment may still need are
    held.

    Args:
        batches: of the frames part, in time order.
        start_ns: (N,) ascending.
        end_ns: (N,) ascending.
        dim: Dv.
        pooler: instead of the mean; called once a window.

    Returns:
        (N, Dv) unit norm; zeros where a segment has no frame.

    Raises:
        TakeError: as ``unit_rows``.
    """
    video, found = _pool(batches, start_ns=start_ns, end_ns=end_ns, dim=dim, pooler=pooler)
    return unit_rows(video, present=found)


def find_pooling_faults(
    batches: Iterable[pa.RecordBatch],
    *,
    start_ns: npt.NDArray[np.int64],
    end_ns: npt.NDArray[np.int64],
    dim: int,
    pooler: FramePooler | None = None,
) -> Faults:
    """Return what :func:`pool_frames` would refuse of each window, (N,), rather than refuse it.

    Embeddings that are sound by themselves may cancel out. That is one chance in very many, so that
    nobody looks before it has happened.
    """
    video, found = _pool(batches, start_ns=start_ns, end_ns=end_ns, dim=dim, pooler=pooler)
    norms = np.linalg.norm(video, axis=1)
    faults: Faults = np.select(
        [found & ~np.isfinite(norms), found & (norms == 0)], [_NOT_FINITE, _ZERO], PRESENT
    )
    return faults


def _pool(
    batches: Iterable[pa.RecordBatch],
    *,
    start_ns: npt.NDArray[np.int64],
    end_ns: npt.NDArray[np.int64],
    dim: int,
    pooler: FramePooler | None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the pooled embeddings (N, Dv), not normalised yet, and which have any frame (N,)."""
    count = len(start_ns)
    video = np.zeros((count, dim), np.float64)
    found = np.zeros(count, np.bool_)
    t_ns = np.zeros(0, np.int64)
    rows = np.zeros((0, dim), np.float16)
    fresh: list[pa.RecordBatch] = []
    done, held = 0, 0

    def finish(until: int) -> None:
        low = np.searchsorted(t_ns, start_ns[done:until], side="left")
        high = np.searchsorted(t_ns, end_ns[done:until], side="left")
        some = high > low
        # Several sentences often share one window.
        bounds, again = np.unique(
            np.stack([low[some], high[some]], axis=1), axis=0, return_inverse=True
        )
        pooled = _means(rows, bounds) if pooler is None else _apply(pooler, rows, bounds)
        found[done:until] = some
        video[done:until][some] = pooled[again.reshape(-1)]

    for batch in batches:
        fresh.append(batch.select(_COLUMNS))
        held += len(batch)
        if held < _FRAMES_AT_ONCE:
            continue
        t_ns, rows = _joined(t_ns, rows, fresh)
        fresh, held = [], 0
        # A later frame can still fall into any segment that ends after this one.
        until = int(np.searchsorted(end_ns, t_ns[-1], side="right"))
        finish(until)
        done = until
        needed_from = start_ns[done] if done < count else t_ns[-1] + 1
        drop = int(np.searchsorted(t_ns, needed_from, side="left"))
        # Copied, so that what is dropped is freed.
        t_ns, rows = t_ns[drop:].copy(), rows[drop:].copy()
    t_ns, rows = _joined(t_ns, rows, fresh)
    finish(count)
    return video, found


def _joined(
    t_ns: npt.NDArray[np.int64], rows: npt.NDArray[np.float16], fresh: list[pa.RecordBatch]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]:
    if not fresh:
        return t_ns, rows
    table = pa.Table.from_batches(fresh)
    flat = table["embedding"].combine_chunks().flatten().to_numpy()
    frames = flat.reshape(len(table), rows.shape[1])
    return np.concatenate([t_ns, table["t_ns"].to_numpy()]), np.concatenate([rows, frames])


def _means(rows: npt.NDArray[np.float16], bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the mean of each ``rows[low:high]``, (U, D), of bounds (U, 2), none of them empty.

    Frames are summed once between neighbouring bounds; a window is the sum of its pieces.
    """
    if len(bounds) == 0:
        return np.zeros((0, rows.shape[1]))
    lengths = bounds[:, 1] - bounds[:, 0]
    first, end = int(bounds.min()), int(bounds.max())
    values = torch.from_numpy(rows[first:end]).double()
    if lengths.max() <= _EXACT_FRAMES:
        edges = np.unique(bounds)
        values = _sums(values, low=edges[:-1] - first, high=edges[1:] - first)
        low, high = np.searchsorted(edges, bounds[:, 0]), np.searchsorted(edges, bounds[:, 1])
    else:
        low, high = bounds[:, 0] - first, bounds[:, 1] - first
    means: npt.NDArray[np.float64] = _sums(values, low=low, high=high).numpy() / lengths[:, None]
    return means


def _sums(
    values: torch.Tensor, *, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]
) -> torch.Tensor:
    """Return the sum of each ``values[low:high]``, added up in their order."""
    lengths = high - low
    offsets = np.cumsum(lengths) - lengths
    indices = np.arange(lengths.sum()) + np.repeat(low - offsets, lengths)
    sums: torch.Tensor = embedding_bag(
        torch.from_numpy(indices), values, torch.from_numpy(offsets), mode="sum"
    )
    return sums


def _apply(
    pooler: FramePooler, rows: npt.NDArray[np.float16], bounds: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    pooled = np.zeros((len(bounds), rows.shape[1]), np.float64)
    for i, (low, high) in enumerate(bounds.tolist()):
        pooled[i] = pooler(rows[low:high])
    return pooled


def unit_rows(
    rows: npt.NDArray[np.float64], *, present: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float16]:
    """Return ``rows`` (N, D) scaled to unit L2 norm in float16; rows not ``present`` are zeros.

    Raises:
        TakeError: ``embedding_not_finite`` or ``embedding_zero`` if a present row has no direction.
    """
    norms = np.linalg.norm(rows, axis=1)
    if not np.isfinite(norms[present]).all():
        raise TakeError(_NOT_FINITE, "embedding must be finite, got NaN or infinity")
    if (norms[present] == 0).any():
        raise TakeError(_ZERO, "embedding must have a direction, got all zeros")
    scale = np.zeros_like(norms)
    scale[present] = 1 / norms[present]
    unit: npt.NDArray[np.float16] = np.where(present[:, None], rows * scale[:, None], 0).astype(
        np.float16
    )
    return unit
