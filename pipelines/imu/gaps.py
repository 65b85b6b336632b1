"""How far apart the recorded samples lie that a point in time rests on."""

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["GAP_CAP_NS", "enclosing_gap_ns"]

# Longer gaps are all alike; the cap lets a stream tell them without reading on to their end.
GAP_CAP_NS: Final = 10_000_000_000


def enclosing_gap_ns(
    t_ns: npt.NDArray[np.int64], *, stamps_ns: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the interval between the samples that enclose each point in time.

    Zero on a sample itself; ``GAP_CAP_NS`` at most, and that where no sample lies on one side.

    Args:
        t_ns: (N,) points in time.
        stamps_ns: (S,) strictly increasing stamps of one sensor.

    Returns:
        (N,) int64 nanoseconds.
    """
    left = np.searchsorted(stamps_ns, t_ns, side="right") - 1
    right = np.searchsorted(stamps_ns, t_ns, side="left")
    gap = np.full(t_ns.shape, GAP_CAP_NS, dtype=np.int64)
    inside = (left >= 0) & (right < len(stamps_ns))
    gap[inside] = stamps_ns[right[inside]] - stamps_ns[left[inside]]
    return np.minimum(gap, GAP_CAP_NS)
