"""A whole take's IMU on one uniform grid, free of aliases, in memory that does not grow with it.

Samples with uneven stamps are first interpolated linearly onto a fine grid, the smallest whole
multiple of the grid rate that reaches 1000 Hz, Aria's own rate. There the error of a straight line
is (2 pi f / native)^2 / 8 at most: 0.1 % at 15 Hz for 1000 Hz, 2.8 % for a sensor of 200 Hz, whose
images near its own rate the filter then removes. The filter is a Kaiser-windowed sinc of zero phase
(Oppenheim and Schafer, Discrete-Time Signal Processing, section 7.5): -6 dB at the cutoff, -60 dB
from half the grid rate on, so that nothing aliases; its pass band ends as far below the cutoff
(15 Hz for a cutoff of 20 Hz on a 50 Hz grid). It is evaluated at the grid points only.

Nothing is padded. Near an end of the recording, or a gap too long to be bridged, the filter keeps
to the weights that lie on recorded signal, divided by their sum: constant gravity stays constant.

Every value is a sum of fixed order over its own neighbourhood, so neither block nor run boundaries
change a bit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.imu.gaps import GAP_CAP_NS, find_enclosing
from schemas.errors import UsageError
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_S, Interval, grid_ns

__all__ = ["LowPass", "ResampledBlock", "design_low_pass", "resample_runs"]

_FINE_HZ: Final = 1000
_STOP_BAND_DB: Final = 60.0
# Cutoffs outside would make the filter longer than two seconds to either side.
_LOWEST_HZ: Final = 1.0
_NARROWEST_SHARE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class LowPass:
    """Zero-phase low-pass on the fine grid.

    Attributes:
        half: (L + 1,) weights at distance 0, 1, ..., L fine steps.
        factor: fine steps a grid step.
        step_ns: grid step; the fine step is ``step_ns / factor``.
    """

    half: npt.NDArray[np.float64]
    factor: int
    step_ns: int

    @property
    def reach(self) -> int:
        """L: furthest fine step with a weight."""
        return len(self.half) - 1

    @property
    def total(self) -> float:
        """Sum of all weights, added up as the filter adds its terms."""
        terms = np.concatenate([self.half[:1], self.half[1:] * 2.0])
        # Not a sum, which adds in another order.
        return float(np.cumsum(terms)[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class ResampledBlock:
    """Successive grid points.

    Attributes:
        t_ns: (N,) int64, multiples of the grid step, take clock.
        values: (N, 6) float64, accelerometer xyz then gyroscope xyz; 0 where not valid.
        gap_ns: (N,) int64, longest interval between the samples of either sensor that enclose
            the point, ``GAP_CAP_NS`` at most and outside the recording.
        valid: (N,) bool.
    """

    t_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    gap_ns: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]


def design_low_pass(*, step_ns: int, cutoff_hz: float) -> LowPass:
    """Return the anti-alias filter of a grid.

    Args:
        step_ns: grid step.
        cutoff_hz: -6 dB point.

    Raises:
        UsageError: if the cutoff leaves no room below half the grid rate.
    """
    nyquist_hz = NS_PER_S / step_ns / 2
    if not _LOWEST_HZ <= cutoff_hz <= _NARROWEST_SHARE * nyquist_hz:
        raise UsageError(
            f"imu.cutoff_hz must lie in [{_LOWEST_HZ:g}, {_NARROWEST_SHARE * nyquist_hz:g}], "
            f"at most 95 % of half the grid rate, got {cutoff_hz:g}"
        )
    factor = -(-_FINE_HZ * step_ns // NS_PER_S)
    fine_s = step_ns / factor / NS_PER_S
    transition_hz = 2 * min(nyquist_hz - cutoff_hz, cutoff_hz / 2)
    beta = 0.1102 * (_STOP_BAND_DB - 8.7)
    taps = (_STOP_BAND_DB - 7.95) / (2.285 * 2 * np.pi * transition_hz * fine_s)
    reach = int(np.ceil(taps / 2))
    distance = np.arange(reach + 1)
    window = np.i0(beta * np.sqrt(1 - (distance / (reach + 1)) ** 2)) / np.i0(beta)
    half = 2 * cutoff_hz * fine_s * np.sinc(2 * cutoff_hz * fine_s * distance) * window
    return LowPass(half=half / (half[0] + 2 * half[1:].sum()), factor=factor, step_ns=step_ns)


def resample_runs(
    runs: Iterable[ImuSamples],
    *,
    span: Interval,
    low_pass: LowPass,
    max_gap_ns: int,
    block_ns: int,
) -> Iterator[ResampledBlock]:
    """Yield the grid points of ``span`` block by block.

    A point is valid where both sensors have recorded signal: between their first and last sample,
    and not inside an interval between samples longer than ``max_gap_ns``.

    Args:
        runs: of the take, in time order; the two sensors of a run cover about the same stretch.
        span: of the take; the grid is the multiples of the step in ``[start, end)``.
        low_pass: filter and grid step.
        max_gap_ns: longest interval between samples that is bridged.
        block_ns: stretch resampled at a time; it changes no value.

    Raises:
        UsageError: if ``max_gap_ns`` is too long to be told apart.
    """
    if max_gap_ns >= GAP_CAP_NS:
        raise UsageError(
            f"imu.max_gap_ms must be below {GAP_CAP_NS // 1_000_000}, got {max_gap_ns / 1e6:g}"
        )
    grid = grid_ns(span, step_ns=low_pass.step_ns)
    points = max(block_ns // low_pass.step_ns, 1)
    tape = _Tape(runs)
    for start in range(0, len(grid), points):
        t_ns = grid[start : start + points]
        fine_ns = _fine_grid(t_ns, low_pass=low_pass)
        tape.move(int(fine_ns[0]), int(fine_ns[-1]))
        fine, gap_ns, solid = _interpolate(
            (tape.accel, tape.gyro), t_ns=fine_ns, max_gap_ns=max_gap_ns
        )
        values = _filter(fine, solid=solid, low_pass=low_pass, count=len(t_ns))
        # The fine grid holds the grid itself, L steps in.
        gap_ns = gap_ns[low_pass.reach :: low_pass.factor][: len(t_ns)]
        valid = gap_ns <= max_gap_ns
        values[~valid] = 0.0
        yield ResampledBlock(t_ns=t_ns, values=values, gap_ns=gap_ns, valid=valid)


class _Tape:
    """The stretch of a recording that is held in memory."""

    def __init__(self, runs: Iterable[ImuSamples]) -> None:
        self._runs = iter(runs)
        self._ended = False
        nothing = TriadSamples(t_ns=np.empty(0, dtype=np.int64), values=np.empty((0, 3)))
        self.accel = nothing
        self.gyro = nothing

    def move(self, first_ns: int, last_ns: int) -> None:
        """Hold every sample that bears on ``[first_ns, last_ns]``, and few others."""
        accel, gyro = [_from(self.accel, first_ns)], [_from(self.gyro, first_ns)]
        while not self._ended and not _reaches(accel, gyro, last_ns=last_ns):
            run = next(self._runs, None)
            if run is None:
                self._ended = True
                break
            accel = _append(accel, run.accel, first_ns=first_ns)
            gyro = _append(gyro, run.gyro, first_ns=first_ns)
        self.accel, self.gyro = _join(accel), _join(gyro)


def _append(held: list[TriadSamples], run: TriadSamples, *, first_ns: int) -> list[TriadSamples]:
    # What lies before the stretch is let go at once: a recording may begin long before its take.
    if len(run) and int(run.t_ns[0]) <= first_ns:
        return [_from(run, first_ns)]
    return [*held, run]


def _reaches(accel: list[TriadSamples], gyro: list[TriadSamples], *, last_ns: int) -> bool:
    # A sensor that lags a whole cap behind the other has a gap at least as long there, so its
    # later samples cannot matter yet.
    last = [int(t.t_ns[-1]) for held in (accel, gyro) for t in held[-1:] if len(t)]
    both = len(last) == 2 and min(last) >= last_ns
    return both or (bool(last) and max(last) >= last_ns + GAP_CAP_NS)


def _from(triad: TriadSamples, first_ns: int) -> TriadSamples:
    """Return the samples from the last one at or before ``first_ns`` on."""
    keep = max(int(np.searchsorted(triad.t_ns, first_ns, side="right")) - 1, 0)
    return TriadSamples(t_ns=triad.t_ns[keep:], values=triad.values[keep:])


def _join(held: list[TriadSamples]) -> TriadSamples:
    return TriadSamples(
        t_ns=np.concatenate([t.t_ns for t in held]),
        values=np.concatenate([t.values for t in held]),
    )


def _fine_grid(t_ns: npt.NDArray[np.int64], *, low_pass: LowPass) -> npt.NDArray[np.int64]:
    """Return the fine grid from L steps before the first grid point to L after the last."""
    step_ns, factor = low_pass.step_ns, low_pass.factor
    first = int(t_ns[0]) // step_ns * factor - low_pass.reach
    last = int(t_ns[-1]) // step_ns * factor + low_pass.reach
    return np.arange(first, last + 1, dtype=np.int64) * step_ns // factor


def _interpolate(
    triads: tuple[TriadSamples, TriadSamples], *, t_ns: npt.NDArray[np.int64], max_gap_ns: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], list[npt.NDArray[np.bool_]]]:
    """Return values on straight lines between samples, and where there are any.

    Returns:
        (6, N) values, the longer of the two sensors' enclosing gaps (N,), and for each sensor
        (N,) where it has recorded signal; its values are 0 elsewhere.
    """
    values = np.zeros((6, len(t_ns)))
    gap_ns = np.zeros(len(t_ns), np.int64)
    solids: list[npt.NDArray[np.bool_]] = []
    stamps_ns: npt.NDArray[np.int64] | None = None
    for rows, triad in zip((values[:3], values[3:]), triads, strict=True):
        # Both sensors of a chip have the same stamps, but where samples of one were left out.
        if stamps_ns is None or not np.array_equal(stamps_ns, triad.t_ns):
            stamps_ns = triad.t_ns
            left, gap = find_enclosing(t_ns, stamps_ns=stamps_ns)
            solid = gap <= max_gap_ns
            np.maximum(gap_ns, gap, out=gap_ns)
            chosen = slice(None) if solid.all() else np.flatnonzero(solid)
            left = left[chosen]
            right = np.minimum(left + 1, len(stamps_ns) - 1)
            t = t_ns[chosen]
            if len(t):
                start_ns = stamps_ns.take(left)
                share = (t - start_ns) / np.maximum(stamps_ns.take(right) - start_ns, 1)
        solids.append(solid)
        if not len(t):
            continue
        for row, axis in zip(rows, triad.values.T, strict=True):
            line = np.ascontiguousarray(axis)
            before = line.take(left)
            row[chosen] = before + share * (line.take(right) - before)
    return values, gap_ns, solids


def _filter(
    fine: npt.NDArray[np.float64],
    *,
    solid: list[npt.NDArray[np.bool_]],
    low_pass: LowPass,
    count: int,
) -> npt.NDArray[np.float64]:
    """Return (count, 6) filtered values at every ``factor``-th point of (6, N), L points in."""
    reach, factor = low_pass.reach, low_pass.factor
    # Every factor-th point of the fine grid lies in one long row: (factor, 6, N / factor).
    padded = np.zeros((len(fine), -(-fine.shape[1] // factor) * factor))
    padded[:, : fine.shape[1]] = fine
    phases = np.ascontiguousarray(padded.reshape(len(fine), -1, factor).transpose(2, 0, 1))

    def at(place: int) -> npt.NDArray[np.float64]:
        first, phase = divmod(place, factor)
        return phases[phase, :, first : first + count]

    total = at(reach) * low_pass.half[0]
    pair = np.empty_like(total)
    for i in range(1, reach + 1):
        np.add(at(reach - i), at(reach + i), out=pair)
        np.multiply(pair, low_pass.half[i], out=pair)
        np.add(total, pair, out=total)
    result: npt.NDArray[np.float64] = np.ascontiguousarray((total / low_pass.total).T)
    for k, some in enumerate(solid):
        if not some.all():
            axes = slice(3 * k, 3 * k + 3)
            _filter_broken(result[:, axes], fine[axes], solid=some, low_pass=low_pass)
    return result


def _filter_broken(
    result: npt.NDArray[np.float64],
    fine: npt.NDArray[np.float64],
    *,
    solid: npt.NDArray[np.bool_],
    low_pass: LowPass,
) -> None:
    """Overwrite the results (count, 3) whose filter reaches beyond recorded signal."""
    reach, factor = low_pass.reach, low_pass.factor
    weights = np.concatenate([low_pass.half[:0:-1], low_pass.half])
    missing = np.concatenate([[0], np.cumsum(~solid)])
    centres = reach + np.arange(len(result)) * factor
    broken = missing[centres + reach + 1] > missing[centres - reach]
    for k in np.flatnonzero(broken & solid[centres]):
        stretch = slice(int(centres[k]) - reach, int(centres[k]) + reach + 1)
        holes = np.flatnonzero(~solid[stretch])
        lo = int(holes[holes < reach].max(initial=-1)) + 1
        hi = int(holes[holes > reach].min(initial=2 * reach + 1))
        kept = weights[lo:hi]
        # One after the other; a sum over a long row would add in pairs.
        terms = np.cumsum(kept * fine[:, stretch][:, lo:hi], axis=1)
        # The filter's sum over one side of a point is positive, so that the quotient is sound.
        result[k] = terms[:, -1] / kept.sum()
