"""What was recorded at each grid point: samples kept, left out and saturated, and their intervals.

Readers hand over a recording run by run, the resampler takes it block by block. The counter stands
between them: it counts every run as it passes and gives the counts away with the blocks. Each
number is a sum in time order over the stamps of one grid step, so neither block nor run boundaries
change a bit.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.imu import ImuSamples
from schemas.time import Interval, grid_ns

__all__ = ["COUNT_COLUMNS", "SampleCounter"]

COUNT_COLUMNS: Final[Mapping[str, type[np.generic]]] = {
    "samples": np.int32,
    "invalid_samples": np.int32,
    "saturated_samples": np.int32,
    "intervals": np.int32,
    "interval_sum_ns": np.int64,
    "interval_sum_us2": np.float64,
}
"""Columns of the imu part that are filled here, with their types."""

_NS_PER_US: Final = 1000.0


class SampleCounter:
    """Counts of the recorded samples whose stamps lie in ``[t_ns, t_ns + step)`` of a grid point.

    Memory is bounded by how far the runs read reach ahead of the blocks given away.
    """

    def __init__(self, *, span: Interval, step_ns: int, max_gap_ns: int) -> None:
        """Start at the span's first grid point.

        Args:
            span: of the take; the grid is the multiples of the step in ``[start, end)``.
            step_ns: grid step.
            max_gap_ns: longer intervals are gaps and count in no interval sum.
        """
        grid = grid_ns(span, step_ns=step_ns)
        self._first = int(grid[0]) // step_ns if len(grid) else 0
        self._end = self._first + len(grid)
        self._step_ns = step_ns
        self._max_gap_ns = max_gap_ns
        self._last_accel_ns = np.zeros(0, np.int64)
        self._ahead = {name: np.zeros(0, dtype) for name, dtype in COUNT_COLUMNS.items()}

    def watch(self, runs: Iterable[ImuSamples]) -> Iterator[ImuSamples]:
        """Yield the runs unchanged, each counted before it goes on."""
        for run in runs:
            stamps_ns = run.accel.t_ns
            self._add(stamps_ns, "samples")
            self._add(run.invalid_ns, "invalid_samples")
            self._add(run.saturated_ns, "saturated_samples")
            joined = np.concatenate([self._last_accel_ns, stamps_ns])
            between_ns = np.diff(joined)
            kept = between_ns <= self._max_gap_ns
            if not kept.all():
                between_ns = between_ns[kept]
            self._add(
                joined[1:] if kept.all() else joined[1:][kept],
                "intervals",
                interval_sum_ns=between_ns,
                interval_sum_us2=(between_ns / _NS_PER_US) ** 2,
            )
            self._last_accel_ns = joined[-1:]
            yield run

    def give(self, points: int) -> dict[str, npt.NDArray[np.generic]]:
        """Return the counts of the next grid points, by ``COUNT_COLUMNS``, (points,) each."""
        self._reach(self._first + points)
        given = {name: counts[:points] for name, counts in self._ahead.items()}
        self._ahead = {name: counts[points:] for name, counts in self._ahead.items()}
        self._first += points
        return given

    def _add(
        self,
        stamps_ns: npt.NDArray[np.int64],
        count: str,
        **amounts: npt.NDArray[np.int64] | npt.NDArray[np.float64],
    ) -> None:
        """Count the stamps at their grid points, and sum what goes with each."""
        if not len(stamps_ns):
            return
        index = stamps_ns // self._step_ns
        inside = (index >= self._first) & (index < self._end)
        if not inside.all():
            index = index[inside]
            amounts = {name: amount[inside] for name, amount in amounts.items()}
            if not len(index):
                return
        low, high = int(index.min()), int(index.max()) + 1
        self._reach(high)
        bins = slice(low - self._first, high - self._first)
        index -= low
        self._ahead[count][bins] += np.bincount(index).astype(np.int32)
        whole = np.concatenate([np.arange(high - low), index])
        for name, amount in amounts.items():
            held = self._ahead[name][bins]
            # From what is held on, one after the other in time order: run boundaries round
            # nothing. Sums of nanoseconds stay below 2^53, where float64 is exact.
            held[:] = np.bincount(whole, weights=np.concatenate([held, amount]))

    def _reach(self, end: int) -> None:
        missing = end - self._first - len(self._ahead["samples"])
        if missing > 0:
            self._ahead = {
                name: np.concatenate([counts, np.zeros(missing, counts.dtype)])
                for name, counts in self._ahead.items()
            }
