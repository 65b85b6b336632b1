from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.align.sync_audit import measure_lag
from pipelines.parts.motion_trace import MotionTrace
from pipelines.report.motion_fit import fit_motion, r2_by_lag

MS = 1_000_000
MIX = np.array([[0.3, -0.1, 0.05], [0.02, 0.2, -0.4]])


def turn_rates(t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.stack([np.cos(2.1 * t_s), np.sin(3.7 * t_s), np.cos(5.3 * t_s + 1)], axis=1)


def angles(t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The integral of `turn_rates`, in closed form."""
    return np.stack(
        [np.sin(2.1 * t_s) / 2.1, -np.cos(3.7 * t_s) / 3.7, np.sin(5.3 * t_s + 1) / 5.3], axis=1
    )


def recording(*, lag_ns: int) -> MotionTrace:
    """A gyro whose events come `lag_ns` after the picture's."""
    gyro_t_ns = np.arange(-2000, 22_000, 5, dtype=np.int64) * MS
    motion_t_ns = np.arange(0, 20_000, 100, dtype=np.int64) * MS
    motion = np.full((len(motion_t_ns), 2), np.nan)
    motion[1:] = np.diff(angles(motion_t_ns / 1e9), axis=0) @ MIX.T
    return MotionTrace(
        gyro_t_ns=gyro_t_ns,
        gyro_rad_s=turn_rates((gyro_t_ns - lag_ns) / 1e9).astype(np.float32),
        motion_t_ns=motion_t_ns,
        motion=motion,
    )


def test_fit_at_the_true_lag_is_the_motion_itself() -> None:
    made = recording(lag_ns=200 * MS)
    fit = fit_motion(made, lag_ns=200 * MS)
    assert np.isnan(fit[0]).all()
    assert np.allclose(fit[1:], made.motion[1:], atol=2e-5)
    off = fit_motion(made, lag_ns=0)
    assert np.abs(off[1:] - made.motion[1:]).max() > 1e-3


@pytest.mark.parametrize("lag_ms", [-300, 0, 150])
def test_curve_peaks_where_the_audit_finds_the_lag(lag_ms: int) -> None:
    made = recording(lag_ns=lag_ms * MS)
    lags_ns = np.arange(-1000, 1001, 50, dtype=np.int64) * MS
    curve = r2_by_lag(made, lags_ns=lags_ns)
    assert lags_ns[np.nanargmax(curve)] == lag_ms * MS
    assert np.nanmax(curve) == pytest.approx(1, abs=1e-4)
    audit = measure_lag(
        gyro_t_ns=made.gyro_t_ns,
        gyro_rad_s=made.gyro_rad_s,
        motion_t_ns=made.motion_t_ns,
        motion=made.motion,
    )
    assert audit.lag_ns == pytest.approx(lag_ms * MS, abs=5 * MS)


def test_shuffled_motion_is_not_explained() -> None:
    made = recording(lag_ns=0)
    rows = np.random.default_rng(0).permutation(np.arange(1, len(made.motion)))
    mixed = replace(made, motion=np.concatenate([made.motion[:1], made.motion[rows]]))
    assert r2_by_lag(mixed, lags_ns=np.array([0, 20 * MS]))[0] < 0.1


def test_where_nothing_is_known_nothing_is_fitted() -> None:
    made = recording(lag_ns=0)
    blind = replace(made, motion=np.full_like(made.motion, np.nan))
    assert np.isnan(fit_motion(blind, lag_ns=0)).all()
    assert r2_by_lag(blind, lags_ns=np.array([0, MS])).tolist() == [0, 0]
    short = replace(made, motion_t_ns=made.motion_t_ns[:1], motion=made.motion[:1])
    assert fit_motion(short, lag_ns=0).shape == (1, 2)


def test_gyro_that_does_not_reach_leaves_gaps() -> None:
    made = recording(lag_ns=0)
    keep = made.gyro_t_ns <= 10_000 * MS
    made = replace(made, gyro_t_ns=made.gyro_t_ns[keep], gyro_rad_s=made.gyro_rad_s[keep])
    fit = fit_motion(made, lag_ns=0)
    assert np.isfinite(fit[1:101]).all()
    assert np.isnan(fit[101:]).all()
