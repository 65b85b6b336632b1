"""Which frame of a video stands for each grid time. Pure arithmetic."""

import numpy as np
import numpy.typing as npt

__all__ = ["match_frames", "needed_grid"]


def match_frames(
    pts_ns: npt.NDArray[np.int64], *, grid: npt.NDArray[np.int64], tolerance_ns: int
) -> npt.NDArray[np.int64]:
    """Return for each grid time the index of the nearest frame, ties to the earlier one.

    Args:
        pts_ns: (F,) int64, strictly increasing presentation times, take clock.
        grid: (G,) int64, wanted times, take clock, any order.
        tolerance_ns: furthest accepted distance, inclusive.

    Returns:
        (G,) int64, -1 where no frame lies within the tolerance.
    """
    if len(pts_ns) == 0:
        return np.full(len(grid), -1, dtype=np.int64)
    after = np.searchsorted(pts_ns, grid).clip(0, len(pts_ns) - 1)
    before = (after - 1).clip(0)
    take_before = np.abs(grid - pts_ns[before]) <= np.abs(pts_ns[after] - grid)
    nearest = np.where(take_before, before, after)
    within = np.abs(pts_ns[nearest] - grid) <= tolerance_ns
    return np.where(within, nearest, -1).astype(np.int64)


def needed_grid(
    start_ns: npt.NDArray[np.int64], end_ns: npt.NDArray[np.int64], *, step_ns: int
) -> npt.NDArray[np.int64]:
    """Return the grid times that lie in any of the segments, each once, in order.

    Args:
        start_ns: (S,) int64, segments' starts, any order; segments may overlap.
        end_ns: (S,) int64, their exclusive ends.
        step_ns: of the grid, whose times are its multiples.

    Returns:
        (G,) int64, strictly increasing.

    Raises:
        ValueError: if the two differ in length.
    """
    if len(start_ns) != len(end_ns):
        raise ValueError(
            f"start_ns and end_ns must be equally long, got {len(start_ns)} and {len(end_ns)}"
        )
    # Rows of the grid, rounded up: [first, last) per segment.
    first, last = -(-start_ns // step_ns), -(-end_ns // step_ns)
    filled = first < last
    order = np.argsort(first[filled], kind="stable")
    first, last = first[filled][order], np.maximum.accumulate(last[filled][order])
    # Each segment adds what lies beyond all before it, so nothing is counted twice.
    first[1:] = np.maximum(first[1:], last[:-1])
    count = np.maximum(last - first, 0)
    within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    rows: npt.NDArray[np.int64] = np.repeat(first, count) + within
    return rows * step_ns
