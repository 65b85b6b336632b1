import numpy as np
import pytest
from scipy import stats

from primus_train.studies.welch import welch_test


@pytest.mark.parametrize("sizes", [(5, 5), (2, 2), (3, 20)])
def test_against_scipy(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    for shift in (0.0, 0.1, 5.0):
        first = rng.normal(0.5, 0.01, size=sizes[0])
        second = rng.normal(0.5 + shift, 0.2, size=sizes[1])
        test = welch_test(first.tolist(), second.tolist())
        oracle = stats.ttest_ind(first, second, equal_var=False)
        assert test is not None
        assert test.t == pytest.approx(oracle.statistic, rel=1e-12)
        assert test.degrees == pytest.approx(oracle.df, rel=1e-12)
        assert test.p == pytest.approx(oracle.pvalue, rel=1e-9)
        assert test.difference == pytest.approx(float(first.mean() - second.mean()))
        assert test.n == sizes


def test_it_is_two_sided() -> None:
    one = welch_test([0.1, 0.2, 0.3], [0.7, 0.8, 0.95])
    other = welch_test([0.7, 0.8, 0.95], [0.1, 0.2, 0.3])
    assert one is not None
    assert other is not None
    assert one.p == other.p
    assert one.t is not None
    assert other.t == -one.t


def test_constant_or_single_trials_have_no_p() -> None:
    constant = welch_test([0.5, 0.5], [0.4, 0.4])
    assert constant is not None
    assert (constant.t, constant.p) == (None, None)
    assert constant.difference == pytest.approx(0.1)
    assert welch_test([0.5], [0.4, 0.3]) is None
