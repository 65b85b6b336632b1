from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from pipelines.align.lag_peak import MIN_ROWS
from pipelines.align.sync_audit import SyncAudit, measure_lag

MS = 1_000_000
S = 1_000_000_000


@dataclass
class Recording:
    gyro_t_ns: npt.NDArray[np.int64]
    gyro_rad_s: npt.NDArray[np.float64]
    motion_t_ns: npt.NDArray[np.int64]
    motion: npt.NDArray[np.float64]

    def audit(self, *, max_lag_ns: int = 1_500 * MS, window_s: int = 20) -> SyncAudit:
        return measure_lag(
            gyro_t_ns=self.gyro_t_ns,
            gyro_rad_s=self.gyro_rad_s,
            motion_t_ns=self.motion_t_ns,
            motion=self.motion,
            max_lag_ns=max_lag_ns,
            window_s=window_s,
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
    assert audit.confidence > 0.97
    assert audit.local_lag_ms == pytest.approx([lag_ms] * 21, abs=3)


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
    found = take.audit()
    assert (found.lag_ns, found.r2, found.confidence, found.drift_ns) == (None, 0.0, 0.0, None)


def test_picture_without_a_known_shift_has_no_lag() -> None:
    take = head_motion(seconds=30, lag_ms=0)
    take.motion[:] = np.nan
    found = take.audit()
    assert (found.lag_ns, found.r2, found.confidence, found.drift_ns) == (None, 0.0, 0.0, None)


def test_stretches_without_shifts_or_gyro_leave_the_others_as_they_are() -> None:
    whole = head_motion(seconds=1500, lag_ms=120)
    found = whole.audit()
    half = Recording(
        gyro_t_ns=whole.gyro_t_ns[whole.gyro_t_ns < 900 * 1000 * MS],
        gyro_rad_s=whole.gyro_rad_s[whole.gyro_t_ns < 900 * 1000 * MS],
        motion_t_ns=whole.motion_t_ns,
        motion=np.where(whole.motion_t_ns[:, None] < 600 * 1000 * MS, np.nan, whole.motion),
    ).audit()
    # Five stretches of 300 s: two without a shift, one whole, two without gyro.
    assert half.local_lag_ms[620:850] == found.local_lag_ms[620:850] == (120,) * 230
    assert set(half.local_lag_ms[:570]) == set(half.local_lag_ms[910:]) == {None}


def test_still_gyro_has_no_lag() -> None:
    take = head_motion(seconds=30, lag_ms=0)
    take.gyro_rad_s[:] = 0.0
    found = take.audit()
    assert (found.lag_ns, found.r2, found.confidence, found.drift_ns) == (None, 0.0, 0.0, None)


def test_lag_beyond_the_limit_is_not_told() -> None:
    audit = head_motion(seconds=60, lag_ms=530).audit(max_lag_ns=500 * MS)
    assert audit.lag_ns is None
    assert audit.r2 > 0.5


# Row 0 spans no interval.
@pytest.mark.parametrize("rows", [0, 1, 2, MIN_ROWS])
def test_too_few_shifts_have_no_lag(rows: int) -> None:
    take = head_motion(seconds=30, lag_ms=0)
    take.motion, take.motion_t_ns = take.motion[:rows], take.motion_t_ns[:rows]
    found = take.audit()
    assert (found.lag_ns, found.r2, found.confidence, found.drift_ns) == (None, 0.0, 0.0, None)


def test_gyro_that_ends_before_the_video_has_no_lag() -> None:
    take = head_motion(seconds=30, lag_ms=0)
    take.motion_t_ns = take.motion_t_ns + 100 * S
    found = take.audit()
    assert (found.lag_ns, found.r2, found.confidence, found.drift_ns) == (None, 0.0, 0.0, None)


def test_swapping_pairs_destroys_the_agreement() -> None:
    take = head_motion(seconds=40, lag_ms=0)
    take.motion[1:] = np.random.default_rng(3).permutation(take.motion[1:])
    assert take.audit().lag_ns is None


def test_shapes_that_do_not_fit_are_refused() -> None:
    take = head_motion(seconds=30, lag_ms=0)
    take.gyro_rad_s = take.gyro_rad_s.T
    with pytest.raises(ValueError, match=r"gyro_rad_s must be \(N, 3\) and motion \(M, 2\)"):
        take.audit()


@pytest.mark.parametrize("lag_ms", [-500.0, 500.0])
def test_all_the_motion_at_the_end_that_a_late_gyro_covers(lag_ms: float) -> None:
    take = head_motion(seconds=15, lag_ms=lag_ms)
    take.motion[1:120] = 0.0
    moving = (take.gyro_t_ns >= 11_900 * MS + lag_ms * MS) & (take.gyro_t_ns <= 14_900 * MS)
    take.gyro_rad_s[~moving] = 0.02
    ends = take.gyro_t_ns <= 14_900 * MS + min(0.0, lag_ms) * MS
    take.gyro_t_ns, take.gyro_rad_s = take.gyro_t_ns[ends], take.gyro_rad_s[ends]
    audit = take.audit()
    assert audit.lag_ns == pytest.approx(lag_ms * MS, abs=20 * MS)
    assert audit.r2 > 0.9


def test_drift_is_the_growth_of_the_lag_over_the_take() -> None:
    take = head_motion(seconds=200, lag_ms=0)
    take.gyro_t_ns = 50 * MS + (take.gyro_t_ns * (1 + 0.3 / 200)).astype(np.int64)
    audit = take.audit()
    assert audit.drift_ns == pytest.approx(300 * MS, abs=6 * MS)
    # Of the middle: half of the drift beyond the start's lag.
    assert audit.lag_ns == pytest.approx(200 * MS, abs=5 * MS)
    at_s = np.arange(181) + 10
    assert audit.local_lag_ms == pytest.approx((50 + 1.5 * at_s).tolist(), abs=6)


def test_drift_beyond_the_peaks_width_leaves_the_fit_sharp() -> None:
    take = head_motion(seconds=240, lag_ms=0)
    take.gyro_t_ns = (take.gyro_t_ns * (1 + 1.2 / 240)).astype(np.int64) - 600 * MS
    audit = take.audit()
    assert audit.drift_ns == pytest.approx(1200 * MS, abs=20 * MS)
    assert audit.lag_ns == pytest.approx(0, abs=15 * MS)
    # Half a window's drift, 50 ms, is what is left.
    assert audit.r2 > 0.85
    backwards = replace(take, gyro_t_ns=take.gyro_t_ns[::-1][0] - take.gyro_t_ns[::-1])
    backwards.gyro_rad_s = -take.gyro_rad_s[::-1]
    end_ns = int(take.motion_t_ns[-1])
    backwards.motion_t_ns = end_ns - take.motion_t_ns[::-1]
    backwards.gyro_t_ns = end_ns - take.gyro_t_ns[::-1]
    backwards.motion = np.concatenate([take.motion[:1], -take.motion[:0:-1]])
    assert backwards.audit().drift_ns == pytest.approx(1200 * MS, abs=20 * MS)


def test_short_take_has_no_drift() -> None:
    assert head_motion(seconds=59, lag_ms=0).audit().drift_ns is None
    assert head_motion(seconds=61, lag_ms=0).audit().drift_ns == pytest.approx(0, abs=2 * MS)


def test_stretch_whose_clock_jumped_shows_in_its_own_lag() -> None:
    take = head_motion(seconds=120, lag_ms=0)
    late = head_motion(seconds=120, lag_ms=400)
    jumped = take.gyro_t_ns >= 80 * S
    take.gyro_rad_s[jumped] = np.stack(
        [np.interp(take.gyro_t_ns[jumped], late.gyro_t_ns, axis) for axis in late.gyro_rad_s.T],
        axis=1,
    )
    audit = take.audit(window_s=10)
    local = audit.around(np.array([20, 60, 90, 110], np.int64) * S)
    assert local.told.all()
    np.testing.assert_allclose(local.lag_ns / MS, [0, 0, 400, 400], atol=3)
    assert audit.lag_ns == pytest.approx(0, abs=10 * MS)
    assert local.r2.min() > 0.98


def test_local_lag_rests_on_its_own_window_alone() -> None:
    take = head_motion(seconds=90, lag_ms=120)
    whole = take.audit()
    low, high = 30 * S, 50 * S
    mine = (take.motion_t_ns >= low) & (take.motion_t_ns <= high)
    alone = replace(take, motion_t_ns=take.motion_t_ns[mine], motion=take.motion[mine]).audit()
    local = whole.around(np.array([40 * S]))
    # Rows are told sound over the whole take in one, in the window in the other.
    assert local.lag_ns[0] == pytest.approx(alone.lag_ns, abs=MS)
    assert local.r2[0] == pytest.approx(alone.r2, abs=2e-3)


@pytest.mark.parametrize(
    ("mid_s", "window"),
    [
        pytest.param(-0.9, 0, id="before_the_first_window"),
        pytest.param(10.0, 0, id="middle_of_the_first"),
        pytest.param(10.4, 0, id="nearer_to_the_first"),
        pytest.param(10.6, 1, id="nearer_to_the_second"),
        pytest.param(23.0, 13, id="inside"),
        pytest.param(60.5, 40, id="after_the_last_window"),
    ],
)
def test_segment_takes_the_window_with_the_nearest_middle(mid_s: float, window: int) -> None:
    audit = _numbered(seconds=60, window_s=20)
    local = audit.around(np.array([round(mid_s * S) + audit.origin_ns]))
    assert local.lag_ns.tolist() == [window * MS]
    assert local.told.tolist() == [True]


def test_window_of_odd_length_has_its_middle_at_half_a_second() -> None:
    audit = _numbered(seconds=60, window_s=15)
    mids = np.array([7.6, 8.4, 8.6], np.float64)
    local = audit.around((mids * S).astype(np.int64) + audit.origin_ns)
    assert (local.lag_ns // MS).tolist() == [0, 1, 1]


def test_segment_outside_the_picture_has_no_lag() -> None:
    audit = _numbered(seconds=60, window_s=20)
    local = audit.around(audit.origin_ns + np.array([-1_100, 61_100], np.int64) * MS)
    assert not local.told.any()
    assert np.isnan(local.r2).all()
    assert np.isnan(local.confidence).all()


def _numbered(*, seconds: int, window_s: int) -> SyncAudit:
    """An audit whose local lags are their own numbers."""
    count = seconds - window_s + 1
    return SyncAudit(
        lag_ns=None,
        r2=0.5,
        confidence=0.0,
        drift_ns=None,
        origin_ns=7 * S,
        seconds=seconds,
        window_s=window_s,
        local_lag_ms=tuple(range(count)),
        local_r2=(0.5,) * count,
        local_confidence=(0.5,) * count,
    )


def test_frames_that_stand_twice_count_once() -> None:
    take = head_motion(seconds=60, lag_ms=70)
    twice = replace(
        take,
        motion_t_ns=np.repeat(take.motion_t_ns, 2),
        motion=np.repeat(take.motion, 2, axis=0),
    )
    twice.motion[1::2] = 0.0
    assert twice.audit() == take.audit()


def test_long_take_is_read_in_stretches_and_says_the_same_everywhere() -> None:
    take = head_motion(seconds=700, lag_ms=-30)
    audit = take.audit()
    assert (audit.seconds, len(audit.local_r2)) == (700, 681)
    assert set(audit.local_lag_ms) <= {-32, -31, -30, -29, -28}
    assert min(audit.local_r2) > 0.98
