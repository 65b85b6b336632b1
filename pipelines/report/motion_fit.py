"""The picture's motion as the gyro explains it, for drawing; the measuring is `sync_audit`'s."""

import numpy as np
import numpy.typing as npt

from pipelines.report.alignment import MotionTrace

__all__ = ["fit_motion", "r2_by_lag"]


def fit_motion(trace: MotionTrace, *, lag_ns: int) -> npt.NDArray[np.float64]:
    """Return the least-squares fit of the picture's shifts by the gyro's turns at one lag.

    Args:
        trace: what gyroscope and picture saw.
        lag_ns: how much later the gyro shows an event.

    Returns:
        (M, 2), NaN where the shift is unknown or the gyro does not reach.
    """
    gyro_t_ns, gyro_rad_s = trace.gyro_t_ns, trace.gyro_rad_s
    motion_t_ns, motion = trace.motion_t_ns, trace.motion
    fit = np.full(motion.shape, np.nan)
    if len(gyro_t_ns) < 2 or len(motion_t_ns) < 2:
        return fit
    origin_ns = int(gyro_t_ns[0])
    t_s = (gyro_t_ns - origin_ns) * 1e-9
    steps = np.diff(t_s)[:, None] * (gyro_rad_s[1:] + gyro_rad_s[:-1]) / 2
    angles = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])
    at_s = (motion_t_ns + lag_ns - origin_ns) * 1e-9
    there = np.stack(
        [np.interp(at_s, t_s, angles[:, i], left=np.nan, right=np.nan) for i in range(3)], axis=1
    )
    design = np.column_stack([np.diff(there, axis=0), np.ones(len(at_s) - 1)])
    known = np.isfinite(design).all(axis=1) & np.isfinite(motion[1:]).all(axis=1)
    if known.sum() < design.shape[1]:
        return fit
    weights = np.linalg.lstsq(design[known], motion[1:][known], rcond=None)[0]
    fit[1:][known] = design[known] @ weights
    return fit


def r2_by_lag(trace: MotionTrace, *, lags_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return at each lag (L,) the share of the motion explained, NaN where nothing can be."""
    shares = np.full(len(lags_ns), np.nan)
    for i, lag_ns in enumerate(lags_ns):
        fit = fit_motion(trace, lag_ns=int(lag_ns))
        known = np.isfinite(fit).all(axis=1)
        seen = trace.motion[known]
        total = float(((seen - seen.mean(axis=0)) ** 2).sum()) if known.any() else 0.0
        if total > 0:
            shares[i] = 1 - float(((seen - fit[known]) ** 2).sum()) / total
    return shares
