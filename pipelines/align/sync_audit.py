"""How late the gyroscope is behind the picture, told from the motion both of them saw."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["MIN_R2", "MIN_ROWS", "SyncAudit", "measure_lag"]

MIN_ROWS: Final = 50
"""Fewest usable picture shifts (5 s at 10 Hz)."""
MIN_R2: Final = 0.1
"""Smallest share of the picture's motion that the gyro must explain."""

# Unrelated signals reach an R2 of 10 / rows at their best lag where neighbouring rows are
# independent, of 20 to 50 / rows where both vary as slowly as heads turn (0.1 to 0.2 s).
_CHANCE_ROWS: Final = 40
_STEP_NS: Final = 10_000_000
_COARSE: Final = 3
_MAX_GAP_S: Final = 0.2
_LAGS_AT_ONCE: Final = 16
# From a median absolute deviation to a standard deviation, and how many of those are an outlier.
_MAD_TO_SIGMA: Final = 1.4826
_OUTLIER_SIGMAS: Final = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncAudit:
    """What the audit of one take found.

    Attributes:
        lag_ns: positive where the gyro is late, that is, where an event appears in the gyro after
            it appears in the picture; None where the recording cannot tell.
        r2: share of the picture's motion that the gyro explains at the best lag, 0 to 1.
    """

    lag_ns: int | None
    r2: float


def measure_lag(
    *,
    gyro_t_ns: npt.NDArray[np.int64],
    gyro_rad_s: npt.NDArray[np.floating],
    motion_t_ns: npt.NDArray[np.int64],
    motion: npt.NDArray[np.floating],
    max_lag_ns: int = 1_500_000_000,
) -> SyncAudit:
    """Return the lag at which rotation explains the picture's shifts best.

    At each lag on a 10 ms grid, the gyro is integrated over the interval that each shift spans,
    and both components of the shift are regressed on the three angles and a constant. R2 is the
    share explained of all usable shifts: those the gyro does not cover at a lag count as
    unexplained, so that every lag is judged on the same rows. The lag of the highest R2 wins,
    refined by a parabola. Shifts far off a first fit (failures of the phase correlation, things
    that move by themselves) are left out of the second.

    Args:
        gyro_t_ns: (N,) int64, strictly increasing, take clock.
        gyro_rad_s: (N, 3), rad/s, in any fixed frame.
        motion_t_ns: (M,) int64, strictly increasing, take clock.
        motion: (M, 2), shift of the picture between ``motion_t_ns[i - 1]`` and ``motion_t_ns[i]``
            as shares of its width and height; NaN where unknown, as in the first row.
        max_lag_ns: lags up to this far on both sides are tried.

    Returns:
        The lag, or None with the R2 found: where fewer than ``MIN_ROWS`` rows are usable, where R2
        is below ``MIN_R2`` or below what unrelated motion of as many rows reaches (40 / rows), or
        where the best lag is the last one tried.

    Raises:
        ValueError: if the arrays' shapes do not fit together.
    """
    if gyro_rad_s.shape != (len(gyro_t_ns), 3) or motion.shape != (len(motion_t_ns), 2):
        raise ValueError(
            f"gyro_rad_s must be (N, 3) and motion (M, 2) with as many stamps, got "
            f"{gyro_rad_s.shape} for {len(gyro_t_ns)} and {motion.shape} for {len(motion_t_ns)}"
        )
    if len(gyro_t_ns) < 2 or len(motion_t_ns) < 2:
        return SyncAudit(lag_ns=None, r2=0.0)
    ends_ns = np.stack([motion_t_ns[:-1], motion_t_ns[1:]], axis=1)
    shifts = motion[1:].astype(np.float64)
    angle = _Angle(gyro_t_ns, gyro_rad_s)
    usable = np.isfinite(shifts).all(axis=1) & angle.turned(ends_ns)[1]
    ends_ns, shifts = ends_ns[usable], shifts[usable]
    if len(shifts) < MIN_ROWS:
        return SyncAudit(lag_ns=None, r2=0.0)

    reach = max_lag_ns // _STEP_NS
    lags_ns = np.arange(-reach, reach + 1, dtype=np.int64) * _STEP_NS
    calm = _clip_spikes(shifts)
    coarse_ns = lags_ns[::_COARSE]
    first_ns = int(coarse_ns[np.argmax(_r2_curve(angle, ends_ns, calm, coarse_ns))])
    kept = _near_fit(*angle.turned(ends_ns + first_ns), shifts, fitted_to=calm)
    if int(kept.sum()) < MIN_ROWS:
        return SyncAudit(lag_ns=None, r2=0.0)
    curve = _r2_curve(angle, ends_ns[kept], shifts[kept], lags_ns)
    best = int(np.argmax(curve))
    r2 = float(curve[best])
    if r2 < max(MIN_R2, _CHANCE_ROWS / int(kept.sum())) or best in (0, len(curve) - 1):
        return SyncAudit(lag_ns=None, r2=r2)
    before, top, after = curve[best - 1 : best + 2]
    bend = before - 2 * top + after
    offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return SyncAudit(lag_ns=int(lags_ns[best]) + round(offset * _STEP_NS), r2=r2)


class _Angle:
    """The gyro's running integral, readable at any instant."""

    def __init__(self, t_ns: npt.NDArray[np.int64], rad_s: npt.NDArray[np.floating]) -> None:
        self._origin_ns = int(t_ns[0])
        self._t_s = (t_ns - self._origin_ns) * 1e-9
        steps_s = np.diff(self._t_s)[:, None]
        turns = steps_s * (rad_s[1:] + rad_s[:-1]) / 2
        gaps = np.where(steps_s > _MAX_GAP_S, steps_s, 0.0)
        # Angles about three axes, and the time lost in gaps so far.
        self._sums = np.zeros((len(t_ns), 4))
        np.cumsum(np.concatenate([turns, gaps], axis=1), axis=0, out=self._sums[1:])

    def turned(
        self, ends_ns: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return angles (..., 3) turned over ``ends_ns`` (..., 2), and where they are known."""
        t_s = (ends_ns - self._origin_ns) * 1e-9
        sums = [np.interp(t_s, self._t_s, self._sums[:, i]) for i in range(4)]
        spans = np.stack([s[..., 1] - s[..., 0] for s in sums], axis=-1)
        inside = (t_s[..., 0] >= 0) & (t_s[..., 1] <= self._t_s[-1])
        return spans[..., :3], inside & (spans[..., 3] == 0)


def _clip_spikes(shifts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the shifts (m, 2), each pulled to its neighbours' range and a usual step around it.

    A head turn lasts several frames; a failed phase correlation jumps for one.
    """
    before, after = np.roll(shifts, 1, axis=0), np.roll(shifts, -1, axis=0)
    before[0], after[-1] = shifts[1], shifts[-2]
    spread = _spread(shifts - np.median(shifts, axis=0))
    low, high = np.minimum(before, after) - spread, np.maximum(before, after) + spread
    return np.clip(shifts, low, high)


def _near_fit(
    turned: npt.NDArray[np.float64],
    known: npt.NDArray[np.bool_],
    shifts: npt.NDArray[np.float64],
    *,
    fitted_to: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """Which rows (m,) of ``shifts`` do not contradict ``fitted_to``'s regression on ``turned``.

    A row contradicts it where it is off by more than is usual and by more than it is explained.
    """
    design = np.column_stack([turned, np.ones(len(turned))])
    weights = np.linalg.lstsq(design[known], fitted_to[known], rcond=None)[0]
    fit = design @ weights
    off = np.abs(shifts - fit)
    near: npt.NDArray[np.bool_] = (off <= np.maximum(_spread(off[known]), np.abs(fit))).all(axis=1)
    return near | ~known


def _spread(off: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how far rows usually lie from zero, by the median: (2,) of (m, 2)."""
    spread: npt.NDArray[np.float64] = (
        _OUTLIER_SIGMAS * _MAD_TO_SIGMA * np.median(np.abs(off), axis=0)
    )
    return spread


def _r2_curve(
    angle: _Angle,
    ends_ns: npt.NDArray[np.int64],
    shifts: npt.NDArray[np.float64],
    lags_ns: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Return R2 (L,) of both components together at each lag."""
    y = shifts - shifts.mean(axis=0)
    total = float((y**2).sum())
    curve = np.zeros(len(lags_ns))
    if total <= 0:
        return curve
    for start in range(0, len(lags_ns), _LAGS_AT_ONCE):
        lags = lags_ns[start : start + _LAGS_AT_ONCE]
        x, known = angle.turned(ends_ns + lags[:, None, None])  # (l, m, 3), (l, m)
        here = known[..., None].astype(np.float64)
        x = x - (x * here).sum(axis=1, keepdims=True) / np.maximum(here.sum(axis=1), 1)[:, None]
        x *= here
        square = x.transpose(0, 2, 1) @ x
        cross = x.transpose(0, 2, 1) @ y
        # The least-squares fit of y by x explains cross' square^-1 cross of y's sum of squares;
        # the pseudo-inverse leaves out axes that never turn.
        inverse = np.linalg.pinv(square, rcond=1e-9, hermitian=True)
        explained = np.einsum("lik,lij,ljk->l", cross, inverse, cross)
        curve[start : start + len(lags)] = explained / total
    return np.clip(curve, 0.0, 1.0)
