import numpy as np
import numpy.typing as npt
import pytest

from pipelines.align.lag_sums import (
    LAG_STEP_NS,
    ROWS,
    add_up,
    count_effective,
    r2_curves,
    trial_lags_ns,
)
from pipelines.align.turning import Turning

MS = 1_000_000
LAGS_NS = trial_lags_ns(200 * MS)


def recording(seed: int = 0) -> tuple[Turning, npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """A gyro from 0.1 to 9.9 s, 100 intervals over [0, 10] s, and shifts that it half explains."""
    rng = np.random.default_rng(seed)
    t_ns = np.arange(100, 9901, 20, dtype=np.int64) * MS
    rates = rng.standard_normal((len(t_ns), 3))
    gyro = Turning(t_ns, rates)
    edges = np.arange(0, 10_001, 100, dtype=np.int64) * MS
    ends_ns = np.stack([edges[:-1], edges[1:]], axis=1)
    turned = gyro.over(ends_ns)[0]
    shifts = turned @ rng.standard_normal((3, 2)) + 0.03 * rng.standard_normal((100, 2))
    return gyro, ends_ns, shifts


def slow_r2(
    gyro: Turning, ends_ns: npt.NDArray[np.int64], shifts: npt.NDArray[np.float64], lag_ns: int
) -> float:
    """By numpy least squares on rows known at this lag; a fifth of the motion may be outside."""
    x, known = gyro.over(ends_ns + lag_ns)
    design = np.column_stack([x[known], np.ones(known.sum())])
    y = shifts - shifts[known].mean(axis=0)
    fit = design @ np.linalg.lstsq(design, y[known], rcond=None)[0]
    total = ((shifts - shifts.mean(axis=0)) ** 2).sum()
    return float((fit**2).sum() / max((y[known] ** 2).sum(), 0.8 * total))


def sums_of(
    gyro: Turning,
    ends_ns: npt.NDArray[np.int64],
    shifts: npt.NDArray[np.float64],
    *,
    per_block: int = 100,
) -> npt.NDArray[np.float64]:
    return add_up(
        gyro,
        ends_ns=ends_ns,
        shifts=shifts,
        lags_ns=LAGS_NS,
        block=np.arange(len(shifts)) // per_block,
        blocks=-(-len(shifts) // per_block),
    )


def test_lags_are_multiples_of_the_step_both_ways() -> None:
    assert LAGS_NS.tolist() == [k * LAG_STEP_NS for k in range(-10, 11)]
    assert trial_lags_ns(209 * MS).tolist() == LAGS_NS.tolist()
    assert len(trial_lags_ns(1)) == 3


def test_curve_is_numpys_regression_at_every_lag() -> None:
    made = recording()
    curve = r2_curves(sums_of(*made))[0]
    wanted = [slow_r2(*made, int(lag_ns)) for lag_ns in LAGS_NS]
    np.testing.assert_allclose(curve, wanted, atol=1e-7)
    assert LAGS_NS[np.argmax(curve)] == 0
    assert curve.max() > 0.5


def test_motion_beyond_the_gyros_end_counts_only_where_it_is_more_than_a_fifth() -> None:
    gyro, ends_ns, _shifts = recording()
    exact = gyro.over(ends_ns)[0] @ np.ones((3, 2))
    for share, wanted in ((0.1, 1.0), (0.5, 0.5 / 0.8)):
        t_ns = ends_ns[:, 1]
        energy = np.cumsum(((exact - exact.mean(axis=0)) ** 2).sum(axis=1))
        end_ns = int(t_ns[np.searchsorted(energy, (1 - share) * energy[-1])])
        grid_ns = np.arange(0, end_ns + 1, 20 * MS, dtype=np.int64)
        steps = np.stack([grid_ns[:-1], grid_ns[1:]], axis=1)
        rates = np.vstack([gyro.over(steps)[0] / 0.02, np.zeros(3)])
        short = Turning(grid_ns, (rates + np.vstack([rates[:1], rates[:-1]])) / 2)
        at_zero = r2_curves(sums_of(short, ends_ns, exact))[0][len(LAGS_NS) // 2]
        assert at_zero == pytest.approx(wanted, abs=0.06)


def test_sums_of_blocks_add_up_to_those_of_any_stretch() -> None:
    gyro, ends_ns, shifts = recording()
    blocks = sums_of(gyro, ends_ns, shifts, per_block=10)
    assert blocks.shape[0] == 10
    middle = blocks[3:7].sum(axis=0)
    alone = r2_curves(sums_of(gyro, ends_ns[30:70], shifts[30:70]))[0]
    np.testing.assert_allclose(r2_curves(middle[None])[0], alone, atol=1e-9)
    assert (middle[ROWS] == 40).all()


def test_blocks_without_rows_hold_nothing() -> None:
    gyro, ends_ns, shifts = recording()
    block = np.where(np.arange(100) < 50, 1, 4)
    sums = add_up(gyro, ends_ns=ends_ns, shifts=shifts, lags_ns=LAGS_NS, block=block, blocks=6)
    assert sums[:, ROWS, 0].tolist() == [0, 50, 0, 0, 50, 0]
    assert not sums[[0, 2, 3, 5]].any()
    assert not r2_curves(sums)[0].any()
    assert count_effective(sums)[0] == 0


def test_axis_that_never_turns_explains_nothing() -> None:
    _, ends_ns, shifts = recording()
    t_ns = np.arange(0, 10_001, 20, dtype=np.int64) * MS
    rates = np.zeros((len(t_ns), 3))
    rates[:, 1] = np.sin(t_ns / 3e8)
    curve = r2_curves(sums_of(Turning(t_ns, rates), ends_ns, shifts))[0]
    one = Turning(t_ns, rates)
    wanted = [slow_r2(one, ends_ns, shifts, int(lag_ns)) for lag_ns in LAGS_NS]
    np.testing.assert_allclose(curve, wanted, atol=1e-6)
    still = r2_curves(sums_of(Turning(t_ns, np.zeros_like(rates)), ends_ns, shifts))
    assert not still.any()


@pytest.mark.parametrize("value", [0.0, 0.3])
def test_picture_that_moves_evenly_is_not_explained(value: float) -> None:
    gyro, ends_ns, shifts = recording()
    assert not r2_curves(sums_of(gyro, ends_ns, np.full_like(shifts, value))).any()


def test_independent_rows_of_equal_weight_count_in_full() -> None:
    gyro, ends_ns, _ = recording()
    signs = np.random.default_rng(1).choice([-1.0, 1.0], size=(100, 2))
    counted = count_effective(sums_of(gyro, ends_ns, signs))[0]
    assert 70 < counted <= 100


def test_few_strong_turns_and_slow_ones_count_for_less() -> None:
    gyro, ends_ns, _ = recording()
    rng = np.random.default_rng(1)
    signs = rng.choice([-1.0, 1.0], size=(100, 2))
    signs[:10] *= 100
    # Ten rows carry all the weight: the geometric mean of 10 and 100 at most.
    assert count_effective(sums_of(gyro, ends_ns, signs))[0] < 32
    slow = np.repeat(rng.standard_normal((10, 2)), 10, axis=0)
    fast = rng.permutation(slow)
    ratio = count_effective(sums_of(gyro, ends_ns, slow)) / count_effective(
        sums_of(gyro, ends_ns, fast)
    )
    assert ratio[0] < 0.3
