"""Which grid frames a take's segments rest on, from the small columns of its frames part."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

__all__ = ["COUNT_COLUMNS", "FrameCounts", "count_frames"]

COUNT_COLUMNS: Final = ("t_ns", "pts_ns", "decoder")
"""All that is read of the part."""

# 4 MB of delays at 50 frames a window.
_WINDOWS_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameCounts:
    """What N segments draw from a take's frames."""

    frames: npt.NDArray[np.int64]
    """(N,) grid frames that lie in the segment."""
    error_ns: npt.NDArray[np.int64]
    """(N,) furthest of them from its grid time; 0 where there is none."""
    decoder: pl.Series
    """(N,) who decoded them, both names where a core took over from the GPU; null without any."""


def count_frames(
    table: pa.Table | None,
    *,
    start_ns: npt.NDArray[np.int64],
    end_ns: npt.NDArray[np.int64],
) -> FrameCounts:
    """Count the frames in each ``[start_ns, end_ns)`` and tell who decoded them.

    Args:
        table: ``COUNT_COLUMNS`` of the frames part, in time order; None without one.
        start_ns: (N,)
        end_ns: (N,)
    """
    if table is None or len(start_ns) == 0:
        nothing = np.zeros(len(start_ns), np.int64)
        decoder = pl.Series([None] * len(start_ns), dtype=pl.String)
        return FrameCounts(frames=nothing, error_ns=nothing, decoder=decoder)
    t_ns = table["t_ns"].to_numpy()
    low = np.searchsorted(t_ns, start_ns, side="left")
    high = np.searchsorted(t_ns, end_ns, side="left")
    return FrameCounts(
        frames=(high - low).astype(np.int64),
        error_ns=_furthest(np.abs(table["pts_ns"].to_numpy() - t_ns), low=low, high=high),
        decoder=_decoders(table["decoder"], low=low, high=high),
    )


def _furthest(
    late_ns: npt.NDArray[np.int64], *, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the greatest value of each ``[low, high)``, 0 where it is empty."""
    furthest = np.zeros(len(low), np.int64)
    for count in np.unique(high - low).tolist():
        if count == 0:
            continue
        views = np.lib.stride_tricks.sliding_window_view(late_ns, count)
        rows = np.flatnonzero(high - low == count)
        for first in range(0, len(rows), _WINDOWS_AT_ONCE):
            some = rows[first : first + _WINDOWS_AT_ONCE]
            furthest[some] = views[low[some]].max(axis=1)
    return furthest


def _decoders(
    column: pa.ChunkedArray, *, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]
) -> pl.Series:
    """Return the names within each ``[low, high)``, joined by a plus in the order of names."""
    coded = column.combine_chunks().dictionary_encode()
    order = np.argsort(coded.dictionary.to_pylist(), kind="stable")
    names = [coded.dictionary[int(k)].as_py() for k in order]
    code = coded.indices.to_numpy()
    present = np.zeros((len(low), len(names)), np.bool_)
    for k, place in enumerate(order.tolist()):
        before = np.concatenate([[0], np.cumsum(code == place)])
        present[:, k] = before[high] > before[low]
    # As one number: at most a few decoders exist.
    mixture, mixed = np.unique(present @ (1 << np.arange(len(names))), return_inverse=True)
    said = [
        "+".join(name for k, name in enumerate(names) if int(bits) >> k & 1) or None
        for bits in mixture.tolist()
    ]
    return pl.Series(said, dtype=pl.String)[mixed]
