"""The picture's motion as the gyro explains it, for drawing."""

import numpy as np
import numpy.typing as npt

from pipelines.align.lag_sums import add_up, r2_curves
from pipelines.align.turning import Turning
from pipelines.parts.motion_trace import MotionTrace

__all__ = ["fit_motion", "r2_by_lag"]


def fit_motion(trace: MotionTrace, *, lag_ns: int) -> npt.NDArray[np.float64]:
    """Return the least-squares fit of the picture's shifts by the gyro's turns at one lag.

    Args:
        trace: what gyroscope and picture saw.
        lag_ns: how much later the gyro shows an event.

    Returns:
        (M, 2), NaN where the shift is unknown or the gyro does not reach.
    """
    fit = np.full(trace.motion.shape, np.nan)
    if len(trace.gyro_t_ns) < 2 or len(trace.motion_t_ns) < 2:
        return fit
    turned, known = Turning(trace.gyro_t_ns, trace.gyro_rad_s).over(_ends_ns(trace) + lag_ns)
    design = np.column_stack([turned, np.ones(len(turned))])
    known &= np.isfinite(trace.motion[1:]).all(axis=1)
    if known.sum() < design.shape[1]:
        return fit
    weights = np.linalg.lstsq(design[known], trace.motion[1:][known], rcond=None)[0]
    fit[1:][known] = design[known] @ weights
    return fit


def r2_by_lag(trace: MotionTrace, *, lags_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return at each of L >= 2 evenly spaced lags (L,) the share of the motion explained.

    Every known shift counts, failed ones too, so this lies below what the audit reports.
    """
    seen = np.isfinite(trace.motion[1:]).all(axis=1)
    if len(trace.gyro_t_ns) < 2 or not seen.any():
        return np.zeros(len(lags_ns))
    sums = add_up(
        Turning(trace.gyro_t_ns, trace.gyro_rad_s),
        ends_ns=_ends_ns(trace)[seen],
        shifts=trace.motion[1:][seen],
        lags_ns=lags_ns,
        block=np.zeros(int(seen.sum()), np.int64),
        blocks=1,
    )
    curve: npt.NDArray[np.float64] = r2_curves(sums)[0]
    return curve


def _ends_ns(trace: MotionTrace) -> npt.NDArray[np.int64]:
    return np.stack([trace.motion_t_ns[:-1], trace.motion_t_ns[1:]], axis=1)
