"""One embedding of each segment's grid frames, in one bounded pass over the frames part."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.encoders.base import FramePooler
from schemas.errors import TakeError

__all__ = ["PooledFrames", "pool_frames", "unit_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledFrames:
    """What N segments draw from a take's frames."""

    video: npt.NDArray[np.float16]
    """(N, Dv) unit norm; zeros where a segment has no frame."""
    frames: npt.NDArray[np.int64]
    """(N,) grid frames averaged."""
    error_ns: npt.NDArray[np.int64]
    """(N,) furthest of them from its grid time; 0 where there is none."""
    decoder: tuple[str | None, ...]
    """(N,) who decoded them, both names where PyAV took over in the middle."""


def pool_frames(
    batches: Iterable[pa.RecordBatch],
    *,
    start_ns: npt.NDArray[np.int64],
    end_ns: npt.NDArray[np.int64],
    dim: int,
    pooler: FramePooler | None = None,
) -> PooledFrames:
    """Pool the raw embeddings of the frames in each ``[start_ns, end_ns)``, then normalise.

    Every segment is pooled on its own, by default as a mean in float64 and in time order: its bits
    depend on its own frames alone. Only the frames that some unfinished segment may still need are
    held.

    Args:
        batches: of the frames part, in time order.
        start_ns: (N,) ascending.
        end_ns: (N,) ascending.
        dim: Dv.
        pooler: instead of the mean.
    """
    count = len(start_ns)
    video = np.zeros((count, dim), np.float64)
    frames = np.zeros(count, np.int64)
    error_ns = np.zeros(count, np.int64)
    t_ns = np.zeros(0, np.int64)
    late_ns = np.zeros(0, np.int64)
    rows = np.zeros((0, dim), np.float16)
    decoder: list[str | None] = [None] * count
    names = np.zeros(0, np.str_)
    done = 0
    pool = pooler if pooler is not None else _mean

    def finish(until: int) -> None:
        lows = np.searchsorted(t_ns, start_ns[done:until], side="left").tolist()
        highs = np.searchsorted(t_ns, end_ns[done:until], side="left").tolist()
        for i, low, high in zip(range(done, until), lows, highs, strict=True):
            if low < high:
                frames[i] = high - low
                error_ns[i] = late_ns[low:high].max()
                decoder[i] = "+".join(np.unique(names[low:high]).tolist())
                # Several sentences on one window are neighbours here; a pooler may cost much.
                again = i and start_ns[i] == start_ns[i - 1] and end_ns[i] == end_ns[i - 1]
                video[i] = video[i - 1] if again else pool(rows[low:high])

    for batch in batches:
        grid = batch.column("t_ns").to_numpy()
        if len(grid) == 0:
            continue
        t_ns = np.concatenate([t_ns, grid])
        late_ns = np.concatenate([late_ns, np.abs(batch.column("pts_ns").to_numpy() - grid)])
        names = np.concatenate([names, np.array(batch.column("decoder").to_pylist(), np.str_)])
        flat = batch.column("embedding").flatten().to_numpy()
        rows = np.concatenate([rows, flat.reshape(-1, dim)])
        # A later frame can still fall into any segment that ends after this one.
        until = int(np.searchsorted(end_ns, grid[-1], side="right"))
        finish(until)
        done = until
        needed_from = start_ns[done] if done < count else grid[-1] + 1
        drop = int(np.searchsorted(t_ns, needed_from, side="left"))
        t_ns, late_ns = t_ns[drop:], late_ns[drop:]
        names, rows = names[drop:], rows[drop:]
    finish(count)
    return PooledFrames(
        video=unit_rows(video, present=frames > 0),
        frames=frames,
        error_ns=error_ns,
        decoder=tuple(decoder),
    )


def _mean(frames: npt.NDArray[np.float16]) -> npt.NDArray[np.float64]:
    mean: npt.NDArray[np.float64] = frames.sum(axis=0, dtype=np.float64) / len(frames)
    return mean


def unit_rows(
    rows: npt.NDArray[np.float64], *, present: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float16]:
    """Return ``rows`` (N, D) scaled to unit L2 norm in float16; rows not ``present`` are zeros.

    Raises:
        TakeError: ``embedding_not_finite`` or ``embedding_zero`` if a present row has no direction.
    """
    norms = np.linalg.norm(rows, axis=1)
    if not np.isfinite(norms[present]).all():
        raise TakeError("embedding_not_finite", "embedding must be finite, got NaN or infinity")
    if (norms[present] == 0).any():
        raise TakeError("embedding_zero", "embedding must have a direction, got all zeros")
    scale = np.zeros_like(norms)
    scale[present] = 1 / norms[present]
    unit: npt.NDArray[np.float16] = np.where(present[:, None], rows * scale[:, None], 0).astype(
        np.float16
    )
    return unit
