"""Windows resampled one by one from a take's raw imu part, instead of cut from its grid."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.imu.gaps import GAP_CAP_NS
from pipelines.imu.window_resample import EARLY_NS, ResampledWindow, resample_window
from pipelines.parts.raw_imu import read_raw_batch
from pipelines.segments.filters import IMU_MISSING, Faults
from pipelines.stores.cut_imu import ImuGrid
from schemas.imu import IMU_CHANNELS, TriadSamples
from schemas.time import NS_PER_S, Interval

__all__ = ["RawImu", "resample_raw_windows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawImu:
    """A take's different windows, each resampled by itself: 6 KB a window at 50 Hz."""

    starts: npt.NDArray[np.int64]
    """(U,) increasing: grid points at which the windows start."""
    values: npt.NDArray[np.float32]
    """(U, 6, T)"""
    faults: Faults
    """(U,) why there is no window."""
    padded: npt.NDArray[np.int32]
    """(U,) zeros at its end."""

    def find(self, first: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the row (N,) of the window that starts at each of ``first`` (N,)."""
        rows: npt.NDArray[np.int64] = np.searchsorted(self.starts, first)
        return rows

    def cut(self, first: npt.NDArray[np.int64], *, samples: int) -> npt.NDArray[np.float32]:
        """Return the windows (N, 6, samples) that start at grid points ``first`` (N,)."""
        if len(first) == 0:
            return np.zeros((0, len(IMU_CHANNELS), samples), np.float32)
        windows: npt.NDArray[np.float32] = self.values[self.find(first)]
        return windows


def resample_raw_windows(
    batches: Iterable[pa.RecordBatch],
    *,
    grid: ImuGrid,
    first: npt.NDArray[np.int64],
    samples: int,
) -> RawImu:
    """Resample every different window of a take, in one pass over its samples.

    A window that reaches beyond the grid is ``imu_missing``, as one whose ends the recording does
    not reach. Of the samples no more than a run and a window are held at a time.

    Args:
        batches: of the raw imu part, in order.
        grid: of the same take; gives step and origin.
        first: (N,) grid point at which each window starts; may lie outside the grid.
        samples: T: grid points a window.
    """
    starts = np.unique(first)
    faults: Faults = np.full(len(starts), IMU_MISSING)
    values = np.zeros((len(starts), len(IMU_CHANNELS), samples), np.float32)
    padded = np.zeros(len(starts), np.int32)
    inside = np.flatnonzero((starts >= 0) & (starts + samples <= len(grid.valid)))
    windows = [
        Interval(start_ns, start_ns + samples * grid.step_ns)
        for start_ns in (grid.first_ns + starts[inside] * grid.step_ns).tolist()
    ]
    made = _resample(batches, windows=windows, samples=samples, rate_hz=NS_PER_S // grid.step_ns)
    for row, window in zip(inside, made, strict=True):
        values[row], faults[row], padded[row] = window.values, window.fault, window.padded
    return RawImu(starts=starts, values=values, faults=faults, padded=padded)


def _resample(
    batches: Iterable[pa.RecordBatch], *, windows: list[Interval], samples: int, rate_hz: int
) -> Iterator[ResampledWindow]:
    reel = _Reel(batches)
    for window in windows:
        reel.move(window.start_ns - EARLY_NS, window.end_ns + EARLY_NS)
        yield resample_window(
            _around(reel.accel, window),
            _around(reel.gyro, window),
            window=window,
            samples=samples,
            rate_hz=rate_hz,
        )
    # To the end: only there is the part's digest checked.
    for _ in reel.rest:
        pass


def _around(triad: TriadSamples, window: Interval) -> TriadSamples:
    """Return the samples near a window, and the first one after them."""
    ends_ns = [window.start_ns - EARLY_NS, window.end_ns + EARLY_NS]
    low, high = np.searchsorted(triad.t_ns, ends_ns)
    return TriadSamples(t_ns=triad.t_ns[low : high + 1], values=triad.values[low : high + 1])


class _Reel:
    """The stretch of a recording that is held in memory."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self.rest = iter(batches)
        nothing = TriadSamples(t_ns=np.empty(0, dtype=np.int64), values=np.empty((0, 3)))
        self.accel = nothing
        self.gyro = nothing

    def move(self, first_ns: int, last_ns: int) -> None:
        """Hold every sample of ``[first_ns, last_ns]`` and the next of each sensor, if any."""
        accel, gyro = [_from(self.accel, first_ns)], [_from(self.gyro, first_ns)]
        while not _reaches(accel, gyro, last_ns=last_ns):
            batch = next(self.rest, None)
            if batch is None:
                break
            run = read_raw_batch(batch)
            accel.append(_from(run.accel, first_ns))
            gyro.append(_from(run.gyro, first_ns))
        self.accel, self.gyro = _join(accel), _join(gyro)


def _reaches(accel: list[TriadSamples], gyro: list[TriadSamples], *, last_ns: int) -> bool:
    # A sensor that lags a whole cap behind the other has a gap there: it has no more to give.
    ends = [[int(t.t_ns[-1]) for t in triads if len(t)] for triads in (accel, gyro)]
    last = [stamps[-1] for stamps in ends if stamps]
    both = len(last) == 2 and min(last) > last_ns
    return both or (bool(last) and max(last) > last_ns + GAP_CAP_NS)


def _from(triad: TriadSamples, first_ns: int) -> TriadSamples:
    low = int(np.searchsorted(triad.t_ns, first_ns))
    return TriadSamples(t_ns=triad.t_ns[low:], values=triad.values[low:])


def _join(held: list[TriadSamples]) -> TriadSamples:
    if len(held) == 1:
        return held[0]
    return TriadSamples(
        t_ns=np.concatenate([t.t_ns for t in held]),
        values=np.concatenate([t.values for t in held]),
    )
