import numpy as np
import pytest

from pipelines.align.turning import Turning

MS = 1_000_000


def turning(*, lost: slice | None = None) -> Turning:
    """A turn about x at a rate of t rad/s, over [0, 2] s at 100 Hz; its integral is t^2 / 2."""
    t_ns = np.arange(0, 2001, 10, dtype=np.int64) * MS
    rate = np.zeros((len(t_ns), 3))
    rate[:, 0] = t_ns / 1e9
    keep = np.ones(len(t_ns), np.bool_)
    if lost is not None:
        keep[lost] = False
    return Turning(t_ns[keep], rate[keep])


def test_angle_is_the_integral_in_closed_form() -> None:
    ends_ns = np.array([[0, 1000], [503, 777], [1999, 2000]], np.int64) * MS
    angles, known = turning().over(ends_ns)
    ends_s = ends_ns / 1e9
    assert known.all()
    np.testing.assert_allclose(angles[:, 0], (ends_s[:, 1] ** 2 - ends_s[:, 0] ** 2) / 2, atol=2e-5)
    assert not angles[:, 1:].any()


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "known"),
    [
        pytest.param(0, 2000, True, id="whole"),
        pytest.param(-1, 100, False, id="before"),
        pytest.param(1900, 2001, False, id="after"),
        pytest.param(3000, 3100, False, id="far_after"),
        pytest.param(-200, -100, False, id="far_before"),
    ],
)
def test_what_lies_outside_is_unknown(start_ms: int, end_ms: int, known: bool) -> None:
    ends_ns = np.array([[start_ms, end_ms]], np.int64) * MS
    assert turning().over(ends_ns)[1].tolist() == [known]


@pytest.mark.parametrize(
    ("lost", "known"),
    [
        pytest.param(slice(100, 110), True, id="110_ms_are_bridged"),
        pytest.param(slice(100, 111), False, id="120_ms_are_not"),
    ],
)
def test_longer_breaks_are_not_bridged(lost: slice, known: bool) -> None:
    broken = turning(lost=lost)
    spans = np.array([[900, 1000], [1050, 1150], [900, 1300], [1200, 1300]], np.int64) * MS
    # The first and last samples around the break are at 990 and 1100 or 1110 ms.
    assert broken.over(spans)[1].tolist() == [known, known, known, True]
    assert broken.over(np.array([[880, 990]], np.int64) * MS)[1].tolist() == [True]


@pytest.mark.parametrize("shift_ms", [0, 7], ids=["on_the_grid", "beside_it"])
def test_all_lags_at_once_are_each_lag_by_itself(shift_ms: int) -> None:
    gyro = turning(lost=slice(100, 120))
    starts = np.array([300, 400, 560, 900, 1700], np.int64) + shift_ms
    ends_ns = np.stack([starts, starts + 100], axis=1) * MS
    lags_ns = np.arange(-20, 21, dtype=np.int64) * 20 * MS
    x, known = gyro.over_lagged(ends_ns, lags_ns=lags_ns)
    assert x.shape == (5, 3, 41)
    for k, lag_ns in enumerate(lags_ns):
        angles, there = gyro.over(ends_ns + lag_ns)
        if shift_ms == 0:
            assert (known[:, k] == there).all()
        # Beside the grid, what is next to a break counts as lost too.
        assert (known[:, k] <= there).all()
        sure = known[:, k] > 0
        # Half the rate's growth times the square of half a step: 1 rad/s2, 10 ms.
        np.testing.assert_allclose(x[sure, :, k], angles[sure], atol=1e-4)
        assert not x[~sure, :, k].any()
    assert 0 < known.sum() < known.size
