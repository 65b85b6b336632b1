import numpy as np
import numpy.typing as npt
import pytest

from pipelines.align.lag_peak import MIN_CONFIDENCE, MIN_ROWS, LagPeaks, read_peaks

MS = 1_000_000
LAGS_NS = np.arange(-50, 51, dtype=np.int64) * 20 * MS


def bump(height: float, at_ms: float, *, width_ms: float = 60.0) -> npt.NDArray[np.float64]:
    return height * np.exp(-(((LAGS_NS / MS - at_ms) / width_ms) ** 2) / 2)


def read(
    curve: npt.NDArray[np.float64], *, rows: int = 600, effective: float = 1e6, known: float = 1.0
) -> LagPeaks:
    return read_peaks(
        curve[None],
        rows=np.array([float(rows)]),
        known=np.full((1, len(LAGS_NS)), known * rows),
        effective=np.array([effective]),
        lags_ns=LAGS_NS,
    )


@pytest.mark.parametrize("at_ms", [-777.0, -3.0, 0.0, 9.0, 11.0, 500.0])
def test_peak_is_read_between_the_lags_tried(at_ms: float) -> None:
    found = read(bump(0.8, at_ms))
    assert found.told.tolist() == [True]
    assert found.lag_ns[0] == pytest.approx(at_ms * MS, abs=0.3 * MS)
    assert found.r2[0] == pytest.approx(0.8, abs=0.02)


def test_confidence_is_the_share_of_what_the_next_peak_leaves() -> None:
    found = read(np.maximum(bump(0.8, 0), bump(0.5, 500)))
    assert found.confidence[0] == pytest.approx((0.8 - 0.5) / (1 - 0.5))
    assert found.lag_ns[0] == 0


def test_shoulder_nearer_than_150_ms_is_the_same_peak() -> None:
    near = read(np.maximum(bump(0.8, 0), bump(0.6, 140, width_ms=15)))
    apart = read(np.maximum(bump(0.8, 0), bump(0.6, 160, width_ms=15)))
    assert near.confidence[0] == pytest.approx(0.8, abs=0.01)
    assert apart.confidence[0] == pytest.approx((0.8 - 0.6) / (1 - 0.6), abs=0.01)


def test_slope_of_the_peak_itself_is_no_other_peak() -> None:
    found = read(bump(0.8, 0, width_ms=300))
    assert found.confidence[0] == pytest.approx(0.8, abs=0.01)


def test_highest_value_at_the_end_of_the_lags_counts_as_another_peak() -> None:
    found = read(np.maximum(bump(0.8, 0), bump(0.6, 1000)))
    assert found.confidence[0] == pytest.approx((0.8 - 0.6) / (1 - 0.6))


@pytest.mark.parametrize("effective", [1000.0, 40.0, 8.0])
def test_chance_is_what_few_independent_rows_reach(effective: float) -> None:
    chance = 1 - np.exp(-8 / effective)
    found = read(bump(0.5, 0), effective=effective)
    wanted = max(0.0, (0.5 - chance) / (1 - chance))
    told = wanted >= MIN_CONFIDENCE
    assert found.told[0] == told
    assert found.confidence[0] == pytest.approx(wanted if told else 0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("curve", "rows", "r2"),
    [
        pytest.param(bump(0.09, 0), 600, 0.09, id="low_r2"),
        pytest.param(bump(0.9, 0), MIN_ROWS - 1, 0.0, id="too_few_rows"),
        pytest.param(bump(0.9, 1000), 600, 0.9, id="last_lag"),
        pytest.param(bump(0.9, -1000), 600, 0.9, id="first_lag"),
        pytest.param(np.maximum(bump(0.5, 0), bump(0.49, 400)), 600, 0.5, id="two_alike"),
        pytest.param(np.zeros(101), 600, 0.0, id="nothing_explained"),
    ],
)
def test_what_cannot_be_told_has_no_lag_and_no_confidence(
    curve: npt.NDArray[np.float64], rows: int, r2: float
) -> None:
    found = read(curve, rows=rows)
    assert (found.told[0], found.lag_ns[0], found.confidence[0]) == (False, 0, 0.0)
    assert found.r2[0] == pytest.approx(r2)


def test_gyro_must_cover_nine_tenths_of_the_picture_at_the_best_lag() -> None:
    assert read(bump(0.9, 0), known=0.9).told[0]
    assert not read(bump(0.9, 0), known=0.899).told[0]


def test_curves_are_read_one_by_one() -> None:
    curves = np.stack([bump(0.9, -300), bump(0.05, 0), bump(0.7, 200)])
    found = read_peaks(
        curves,
        rows=np.full(3, 600.0),
        known=np.full(curves.shape, 600.0),
        effective=np.full(3, 1e6),
        lags_ns=LAGS_NS,
    )
    assert found.told.tolist() == [True, False, True]
    np.testing.assert_allclose(found.lag_ns, [-300 * MS, 0, 200 * MS], atol=MS // 2)
