from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from pipelines.align.sync_audit import MIN_ROWS, SyncAudit, measure_lag

MS = 1_000_000
S = 1_000_000_000


@dataclass
class Recording:
    gyro_t_ns: npt.NDArray[np.int64]
    gyro_rad_s: npt.NDArray[np.float64]
    motion_t_ns: npt.NDArray[np.int64]
    motion: npt.NDArray[np.float64]

    def audit(self, *, max_lag_ns: int = 1_500 * MS) -> SyncAudit:
        return measure_lag(
            gyro_t_ns=self.gyro_t_ns,
            gyro_rad_s=self.gyro_rad_s,
            motion_t_ns=self.motion_t_ns,
            motion=self.motion,
            max_lag_ns=max_lag_ns,
        )


def head_motion(*, seconds: float, lag_ms: float, seed: int = 0, noise: float = 0.0) -> Recording:
    """Gyro at 200 Hz that shows each turn ``lag_ms`` after the picture, and picture shifts.

    Angles are drawn on a 1 ms grid, so shifts and rates come from one closed form: no integral.
    """
    rng = np.random.default_rng(seed)
    n = round(seconds * 1000) + 6000
    angle = ndimage.gaussian_filter1d(rng.standard_normal((n, 3)), 120, axis=0)
    angle *= 0.3 / angle.std(axis=0)  # rad
    rate = np.gradient(angle, 1e-3, axis=0)
    at = np.arange(3000, n - 3000, 100)  # ms on the angle's grid; 3000 is take time 0
    mixing = np.array([[0.02, -0.8], [-0.7, 0.05], [0.1, 0.2]])  # shares a radian
    motion = np.full((len(at), 2), np.nan)
    motion[1:] = (angle[at[1:]] - angle[at[:-1]]) @ mixing
    motion[1:] += noise * motion[1:].std() * rng.standard_normal((len(at) - 1, 2))
    sampled = np.arange(0, n, 5)
    return Recording(
        gyro_t_ns=(sampled - 3000) * MS + round(lag_ms * MS),
        gyro_rad_s=rate[sampled] + 0.02,  # a bias, as every gyro has
        motion_t_ns=(at - 3000) * MS,
        motion=motion,
    )


@pytest.mark.parametrize("lag_ms", [-1213.0, -60.0, -4.0, 0.0, 17.0, 380.0, 1333.0])
def test_known_lag_is_found_with_its_sign(lag_ms: float) -> None:
    audit = head_motion(seconds=40, lag_ms=lag_ms).audit()
    assert audit.lag_ns == pytest.approx(lag_ms * MS, abs=2 * MS)
    assert audit.r2 > 0.99


def test_noise_lowers_r2_and_leaves_the_lag() -> None:
    audit = head_motion(seconds=60, lag_ms=150, noise=1.0).audit()
    assert audit.lag_ns == pytest.approx(150 * MS, abs=10 * MS)
    assert audit.r2 == pytest.approx(0.5, abs=0.1)  # half of the variance is noise


def test_failed_shifts_do_not_move_the_lag() -> None:
    take = head_motion(seconds=60, lag_ms=-240)
    rng = np.random.default_rng(7)
    wrong = rng.choice(np.arange(1, 600), size=60, replace=False)
    take.motion[wrong] = rng.uniform(-0.5, 0.5, size=(60, 2))
    audit = take.audit()
    assert audit.lag_ns == pytest.approx(-240 * MS, abs=5 * MS)
    assert audit.r2 > 0.7


def test_one_short_turn_in_a_still_clip_is_enough() -> None:
    take = head_motion(seconds=12, lag_ms=60)
    still = slice(0, 100)
    quiet = np.searchsorted(take.gyro_t_ns, 9_900 * MS + 60 * MS)
    take.gyro_rad_s[:quiet] = 0.02
    take.motion[still] = np.nan_to_num(take.motion[still]) * 0
    audit = take.audit()
    assert audit.lag_ns == pytest.approx(60 * MS, abs=20 * MS)
    assert audit.r2 > 0.9


def test_unknown_shifts_and_gyro_gaps_are_left_out() -> None:
    take = head_motion(seconds=60, lag_ms=90)
    take.motion[100:200] = np.nan
    lost = (take.gyro_t_ns > 40 * S) & (take.gyro_t_ns < 45 * S)
    take.gyro_t_ns, take.gyro_rad_s = take.gyro_t_ns[~lost], take.gyro_rad_s[~lost]
    audit = take.audit()
    assert audit.lag_ns == pytest.approx(90 * MS, abs=2 * MS)
    assert audit.r2 > 0.98


@pytest.mark.parametrize("seed", range(5))
def test_unrelated_motion_has_no_lag(seed: int) -> None:
    take = head_motion(seconds=30, lag_ms=0, seed=seed)
    take.motion = head_motion(seconds=30, lag_ms=0, seed=seed + 100).motion
    audit = take.audit()
    assert audit.lag_ns is None
    assert 0.0 < audit.r2 < 0.4


def test_still_picture_has_no_lag() -> None:
    take = head_motion(seconds=30, lag_ms=0)
    take.motion[1:] = 0.0
    assert take.audit() == SyncAudit(lag_ns=None, r2=0.0)


def test_still_gyro_has_no_lag() -> None:
    take = head_motion(seconds=30, lag_ms=0)
    take.gyro_rad_s[:] = 0.0
    assert take.audit() == SyncAudit(lag_ns=None, r2=0.0)


def test_lag_beyond_the_limit_is_not_told() -> None:
    audit = head_motion(seconds=60, lag_ms=530).audit(max_lag_ns=500 * MS)
    assert audit.lag_ns is None
    assert audit.r2 > 0.5


@pytest.mark.parametrize("rows", [0, 1, 2, MIN_ROWS])
def test_too_few_shifts_have_no_lag(rows: int) -> None:
    take = head_motion(seconds=30, lag_ms=0)
    take.motion, take.motion_t_ns = take.motion[:rows], take.motion_t_ns[:rows]
    assert take.audit() == SyncAudit(lag_ns=None, r2=0.0)  # row 0 spans no interval


def test_gyro_that_ends_before_the_video_has_no_lag() -> None:
    take = head_motion(seconds=30, lag_ms=0)
    take.motion_t_ns = take.motion_t_ns + 100 * S
    assert take.audit() == SyncAudit(lag_ns=None, r2=0.0)


def test_swapping_pairs_destroys_the_agreement() -> None:
    take = head_motion(seconds=40, lag_ms=0)
    take.motion[1:] = np.random.default_rng(3).permutation(take.motion[1:])
    assert take.audit().lag_ns is None


def test_shapes_that_do_not_fit_are_refused() -> None:
    take = head_motion(seconds=30, lag_ms=0)
    take.gyro_rad_s = take.gyro_rad_s.T
    with pytest.raises(ValueError, match=r"gyro_rad_s must be \(N, 3\) and motion \(M, 2\)"):
        take.audit()
