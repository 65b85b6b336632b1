import numpy as np
import numpy.typing as npt
import pytest

from pipelines.align.drift import add_along, find_slope
from pipelines.align.lag_peak import LagPeaks
from pipelines.align.lag_sums import LAG_STEP_NS, SUMS

MIDDLES_S = np.arange(10, 210, 20, dtype=np.float64)


def peaks(lag_ns: npt.NDArray[np.float64], **changes: npt.NDArray[np.generic]) -> LagPeaks:
    told = np.ones(len(lag_ns), np.bool_)
    fields = {
        "told": told,
        "r2": np.full(len(lag_ns), 0.8),
        "confidence": np.full(len(lag_ns), 0.5),
    }
    return LagPeaks(lag_ns=lag_ns.astype(np.int64), **{**fields, **changes})


def test_slope_of_a_line_is_its_slope() -> None:
    found = find_slope(MIDDLES_S, peaks=peaks(5e8 - 1_250_000 * MIDDLES_S), least_span_s=100)
    assert found == pytest.approx(-1_250_000)


def test_two_wrong_windows_in_ten_do_not_move_it() -> None:
    lags = 1_000_000 * MIDDLES_S
    lags[[3, 8]] = [-1.4e9, 1.2e9]
    found = find_slope(MIDDLES_S, peaks=peaks(lags), least_span_s=100)
    assert found == pytest.approx(1_000_000, rel=0.02)


def test_doubtful_windows_say_less() -> None:
    lags = np.where(np.arange(10) % 2 == 0, 1_000_000 * MIDDLES_S, -3_000_000 * MIDDLES_S)
    trust = np.where(np.arange(10) % 2 == 0, 0.9, 0.01)
    found = find_slope(MIDDLES_S, peaks=peaks(lags, confidence=trust), least_span_s=100)
    assert found == pytest.approx(1_000_000)


@pytest.mark.parametrize(
    ("told", "slope"),
    [
        pytest.param([0, 9], None, id="two"),
        pytest.param([0, 4, 5], 0.0, id="three_over_half"),
        pytest.param([0, 1, 2, 3], None, id="four_over_less"),
        pytest.param([], None, id="none"),
    ],
)
def test_drift_needs_three_windows_over_half_the_take(told: list[int], slope: float | None) -> None:
    known = np.isin(np.arange(10), told)
    found = find_slope(MIDDLES_S, peaks=peaks(np.full(10, 7e7), told=known), least_span_s=100)
    assert found == slope


def test_sums_along_the_drift_meet_at_one_lag() -> None:
    sums = np.zeros((3, SUMS, 11))
    for window, lag in enumerate((3, 5, 7)):
        sums[window, :, lag] = 1.0
    offsets_ns = np.array([-2.0, 0.2, 2.0]) * LAG_STEP_NS
    total = add_along(sums, offsets_ns=offsets_ns)
    assert total[0].tolist() == [0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0]
    assert add_along(sums, offsets_ns=np.zeros(3)).tolist() == sums.sum(axis=0).tolist()
