"""How far apart the recorded samples lie that a point in time rests on."""

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["GAP_CAP_NS", "enclosing_gap_ns", "find_enclosing"]

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
    return find_enclosing(t_ns, stamps_ns=stamps_ns)[1]


def find_enclosing(
    t_ns: npt.NDArray[np.int64], *, stamps_ns: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the last sample at or before each point in time, and ``enclosing_gap_ns``.

    Args:
        t_ns: (N,) points in time; evenly spaced ones are found several times faster.
        stamps_ns: (S,) strictly increasing stamps of one sensor.

    Returns:
        (N,) indices, -1 before the first sample, and (N,) int64 nanoseconds.
    """
    gap = np.full(t_ns.shape, GAP_CAP_NS, dtype=np.int64)
    left = _last_at_or_before(t_ns, stamps_ns=stamps_ns)
    if not len(stamps_ns):
        return left, gap
    # Points past either end take the end's place, and are told apart below.
    before_ns = stamps_ns.take(left, mode="clip")
    after_ns = stamps_ns.take(left + 1, mode="clip")
    gap = np.where(before_ns == t_ns, 0, after_ns - before_ns)
    gap[(left < 0) | ((left == len(stamps_ns) - 1) & (before_ns != t_ns))] = GAP_CAP_NS
    return left, np.minimum(gap, GAP_CAP_NS)


def _last_at_or_before(
    t_ns: npt.NDArray[np.int64], *, stamps_ns: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    step_ns = int(t_ns[1] - t_ns[0]) if len(t_ns) > 1 else 0
    if step_ns <= 0 or not (t_ns[1:] - t_ns[:-1] == step_ns).all():
        return np.searchsorted(stamps_ns, t_ns, side="right") - 1
    # The point that each sample comes at or just before, and so how many samples each point has
    # seen: a count in one sweep, where a search would start anew for every point.
    point = np.clip(-((t_ns[0] - stamps_ns) // step_ns), 0, len(t_ns))
    seen: npt.NDArray[np.int64] = np.cumsum(np.bincount(point, minlength=len(t_ns))[: len(t_ns)])
    return seen - 1
