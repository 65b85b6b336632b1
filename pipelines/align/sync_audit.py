"""How late the gyroscope is behind the picture, told from the motion both of them saw."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.align.drift import add_along, find_slope
from pipelines.align.lag_peak import LagPeaks, join_peaks, read_peaks
from pipelines.align.lag_sums import (
    KNOWN,
    ROWS,
    SUMS,
    add_up,
    count_effective,
    r2_curves,
    trial_lags_ns,
)
from pipelines.align.sound_rows import find_sound_rows
from pipelines.align.turning import Turning
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = ["LocalLags", "SyncAudit", "measure_lag"]

_MARGIN_NS: Final = NS_PER_S
_STRETCH_S: Final = 300
"""Outliers are told stretch by stretch: over a longer one the clocks may have drifted apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalLags:
    """The lag around N instants.

    Attributes:
        lag_ns: (N,) int64, 0 where it cannot be told.
        told: (N,) whether it can.
        r2: (N,) float32, NaN outside the picture.
        confidence: (N,) float32, 0 where the lag cannot be told, NaN outside the picture.
    """

    lag_ns: npt.NDArray[np.int64]
    told: npt.NDArray[np.bool_]
    r2: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncAudit:
    """What the audit of one take found: lags to the millisecond, shares to three digits.

    Attributes:
        lag_ns: positive where the gyro is late, that is, where an event appears in the gyro after
            it appears in the picture; None where the recording cannot tell. Of the take's middle,
            if it drifts.
        r2: share of the picture's motion that the gyro explains at the best lag, 0 to 1.
        confidence: how far the best lag stands out from all others, 0 to 1 (``read_peaks``).
        drift_ns: by how much the lag grows from the take's start to its end; None where fewer than
            three windows over at least half the take tell theirs.
        origin_ns: take clock, start of the first second.
        seconds: whole seconds the picture spans.
        window_s: length of the windows that the local lags rest on, at most ``seconds``.
        local_lag_ms: of the windows that start at each second; None where it cannot be told.
        local_r2: likewise.
        local_confidence: likewise.
    """

    lag_ns: int | None
    r2: float
    confidence: float
    drift_ns: int | None
    origin_ns: int
    seconds: int
    window_s: int
    local_lag_ms: tuple[int | None, ...]
    local_r2: tuple[float, ...]
    local_confidence: tuple[float, ...]

    def around(self, mid_ns: npt.NDArray[np.int64]) -> LocalLags:
        """Return the lags of the windows whose middles are nearest to ``mid_ns`` (N,).

        Windows lie within the picture: near its ends they are those that touch the end. Instants
        more than a second outside it have none.
        """
        count = len(self.local_r2)
        since_ns = mid_ns - self.origin_ns
        outside = (since_ns < -NS_PER_S) | (since_ns > (self.seconds + 1) * NS_PER_S)
        if count == 0:
            outside = np.ones(len(mid_ns), np.bool_)
        # In half seconds, so that the middle of a window of odd length is whole too.
        near = -(-(2 * since_ns - (self.window_s + 1) * NS_PER_S) // (2 * NS_PER_S))
        index = np.clip(near, 0, max(count - 1, 0))
        lags = np.array([lag or 0 for lag in self.local_lag_ms] or [0], np.int64)
        known = np.array([lag is not None for lag in self.local_lag_ms] or [False])
        r2 = np.array(self.local_r2 or [np.nan], np.float32)
        confidence = np.array(self.local_confidence or [np.nan], np.float32)
        nothing = np.float32(np.nan)
        told = known[index] & ~outside
        return LocalLags(
            lag_ns=np.where(told, lags[index] * NS_PER_MS, 0),
            told=told,
            r2=np.where(outside, nothing, r2[index]),
            confidence=np.where(outside, nothing, confidence[index]),
        )


def measure_lag(
    *,
    gyro_t_ns: npt.NDArray[np.int64],
    gyro_rad_s: npt.NDArray[np.floating],
    motion_t_ns: npt.NDArray[np.int64],
    motion: npt.NDArray[np.floating],
    max_lag_ns: int = 1_500_000_000,
    window_s: int = 20,
) -> SyncAudit:
    """Find the lag at which rotation explains the picture's shifts best, over a take and locally.

    At each lag on a 20 ms grid, the gyro is integrated over the interval that each shift spans,
    and both components of the shift are regressed on the three angles and a constant. R2 is the
    share explained; what the gyro does not cover at a lag counts as unexplained where it is more
    than a fifth of the motion (``r2_curves``). The lag of the highest R2 wins, refined by a
    parabola. Shifts far off a first fit are left out (``find_sound_rows``).

    The regressions rest on sums that add up over time, so the same pass gives the lag of every
    window of ``window_s`` seconds, and from those the drift. Where the lag drifts, the sums are
    added along the drift, which keeps the take's peak sharp.

    Args:
        gyro_t_ns: (N,) int64, strictly increasing, take clock.
        gyro_rad_s: (N, 3), rad/s, in any fixed frame.
        motion_t_ns: (M,) int64, non-decreasing, take clock; a frame that stands twice has moved
            nothing the second time, and counts once.
        motion: (M, 2), shift of the picture between ``motion_t_ns[i - 1]`` and ``motion_t_ns[i]``
            as shares of its width and height; NaN where unknown, as in the first row.
        max_lag_ns: lags up to this far on both sides are tried.
        window_s: length of the windows of the local lags.

    Raises:
        ValueError: if the arrays' shapes do not fit together.
    """
    if gyro_rad_s.shape != (len(gyro_t_ns), 3) or motion.shape != (len(motion_t_ns), 2):
        raise ValueError(
            f"gyro_rad_s must be (N, 3) and motion (M, 2) with as many stamps, got "
            f"{gyro_rad_s.shape} for {len(gyro_t_ns)} and {motion.shape} for {len(motion_t_ns)}"
        )
    if len(gyro_t_ns) < 2 or len(motion_t_ns) < 2 or motion_t_ns[0] == motion_t_ns[-1]:
        origin_ns = int(motion_t_ns[0]) if len(motion_t_ns) else 0
        return _nothing(origin_ns=origin_ns)
    lags_ns = trial_lags_ns(max_lag_ns)
    origin_ns = int(motion_t_ns[0])
    seconds = -(-int(motion_t_ns[-1] - origin_ns) // NS_PER_S)
    window_s = min(window_s, seconds)
    ends_ns = np.stack([motion_t_ns[:-1], motion_t_ns[1:]], axis=1)
    shifts = motion[1:].astype(np.float64)
    moved = np.isfinite(shifts).all(axis=1) & (ends_ns[:, 1] > ends_ns[:, 0])
    # A late or early gyro misses one end of the picture, which may be where all the motion is.
    reach_ns = (int(lags_ns[0]), 0, int(lags_ns[-1]))

    edges = _tile_edges(seconds, window_s=window_s)
    # One block, in half the width: their sum is added up in full as they come.
    tiles = np.empty((len(edges) - 1, SUMS, len(lags_ns)), np.float32)
    at_once = np.zeros((SUMS, len(lags_ns)))
    tile_peaks: list[LagPeaks] = []
    local_peaks: list[LagPeaks] = []
    carried = np.zeros((0, SUMS, len(lags_ns)))
    second_of = (ends_ns.sum(axis=1) // 2 - origin_ns) // NS_PER_S
    for low, high in _stretches(edges, window_s=window_s):
        first, last = int(edges[low]), int(edges[high])
        rows = np.flatnonzero(moved & (second_of >= first) & (second_of < last))
        # Of the gyro no more is integrated than the stretch can meet: hours of it are heavy.
        turning = _turning_near(
            gyro_t_ns,
            gyro_rad_s,
            first_ns=ends_ns[rows, 0].min(initial=origin_ns + first * NS_PER_S) + reach_ns[0],
            last_ns=ends_ns[rows, 1].max(initial=origin_ns + last * NS_PER_S) + reach_ns[-1],
        )
        known = [turning.over(ends_ns[rows] + lag_ns)[1] for lag_ns in reach_ns]
        rows = rows[np.any(known, axis=0)]
        sound = find_sound_rows(
            turning, ends_ns=ends_ns[rows], shifts=shifts[rows], lags_ns=lags_ns
        )
        rows = rows[sound]
        sums = add_up(
            turning,
            ends_ns=ends_ns[rows],
            shifts=shifts[rows],
            lags_ns=lags_ns,
            block=second_of[rows] - first,
            blocks=last - first,
        )
        here = np.add.reduceat(sums, edges[low:high] - first, axis=0)
        tiles[low:high] = here
        at_once += here.sum(axis=0)
        tile_peaks.append(_read(here, lags_ns=lags_ns))
        reaching = np.concatenate([carried, sums])
        del sums, here
        windows = _slide(reaching, length=window_s)
        if len(windows):
            local_peaks.append(_read(windows, lags_ns=lags_ns))
        carried = reaching[max(0, len(reaching) - window_s + 1) :].copy()

    middles_s = (edges[:-1] + edges[1:]) / 2
    slope = find_slope(middles_s, peaks=join_peaks(tile_peaks), least_span_s=seconds / 2)
    whole = _read(at_once[None], lags_ns=lags_ns)
    if slope is not None:
        drifting = add_along(tiles, offsets_ns=slope * (middles_s - seconds / 2))
        along = _read(drifting[None], lags_ns=lags_ns)
        whole = along if along.r2[0] > whole.r2[0] else whole
    lag_ms = _whole_ms(whole)
    local = join_peaks(local_peaks)
    return SyncAudit(
        lag_ns=lag_ms[0] * NS_PER_MS if lag_ms[0] is not None else None,
        r2=round(float(whole.r2[0]), 3),
        confidence=round(float(whole.confidence[0]), 3),
        drift_ns=round(slope * seconds / NS_PER_MS) * NS_PER_MS if slope is not None else None,
        origin_ns=origin_ns,
        seconds=seconds,
        window_s=window_s,
        local_lag_ms=tuple(_whole_ms(local)),
        local_r2=tuple(_three_digits(local.r2)),
        local_confidence=tuple(_three_digits(local.confidence)),
    )


def _turning_near(
    t_ns: npt.NDArray[np.int64],
    rad_s: npt.NDArray[np.floating],
    *,
    first_ns: int,
    last_ns: int,
) -> Turning:
    """Return the turning that is read at instants within a margin of ``[first_ns, last_ns]``."""
    low, high = np.searchsorted(t_ns, [first_ns - _MARGIN_NS, last_ns + _MARGIN_NS])
    # With what lies next to them, so that the recording seems to end where it does.
    near = slice(max(0, int(low) - 2), int(high) + 2)
    return Turning(t_ns[near], rad_s[near])


def _nothing(*, origin_ns: int) -> SyncAudit:
    return SyncAudit(
        lag_ns=None,
        r2=0.0,
        confidence=0.0,
        drift_ns=None,
        origin_ns=origin_ns,
        seconds=0,
        window_s=0,
        local_lag_ms=(),
        local_r2=(),
        local_confidence=(),
    )


def _tile_edges(seconds: int, *, window_s: int) -> npt.NDArray[np.int64]:
    """Return the edges, in seconds, of tiles of one to two windows' length that fill the take."""
    count = max(1, seconds // window_s)
    return np.arange(count + 1, dtype=np.int64) * seconds // count


def _stretches(edges: npt.NDArray[np.int64], *, window_s: int) -> Iterator[tuple[int, int]]:
    """Yield (low, high) tile numbers of stretches of about ``_STRETCH_S``."""
    tiles = len(edges) - 1
    count = max(1, tiles * window_s // max(_STRETCH_S, window_s))
    for i in range(count):
        yield tiles * i // count, tiles * (i + 1) // count


def _slide(sums: npt.NDArray[np.float64], *, length: int) -> npt.NDArray[np.float64]:
    """Return the sums (B - length + 1, ...) of every ``length`` neighbours of (B, ...)."""
    if len(sums) < length:
        return sums[:0]
    slid = np.empty((len(sums) - length + 1, *sums.shape[1:]))
    running = np.zeros((len(sums) + 1, *sums.shape[2:]))
    # One kind of sum at a time: all their running sums would be as large as they are.
    for kind in range(sums.shape[1]):
        np.cumsum(sums[:, kind], axis=0, out=running[1:])
        np.subtract(running[length:], running[:-length], out=slid[:, kind])
    return slid


def _read(sums: npt.NDArray[np.float64], *, lags_ns: npt.NDArray[np.int64]) -> LagPeaks:
    return read_peaks(
        r2_curves(sums),
        rows=sums[:, ROWS, 0],
        known=sums[:, KNOWN],
        effective=count_effective(sums),
        lags_ns=lags_ns,
    )


def _whole_ms(peaks: LagPeaks) -> list[int | None]:
    # Least squares may differ in its last bits with the number of threads; a version may not.
    rounded = np.rint(peaks.lag_ns / NS_PER_MS).astype(np.int64).tolist()
    return [ms if told else None for ms, told in zip(rounded, peaks.told.tolist(), strict=True)]


def _three_digits(values: npt.NDArray[np.float64]) -> list[float]:
    return [round(value, 3) for value in values.tolist()]
