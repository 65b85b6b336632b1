"""Which frame of a video stands for each grid time. Pure arithmetic."""

import numpy as np
import numpy.typing as npt

__all__ = ["match_frames"]


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
