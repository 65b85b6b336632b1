from fractions import Fraction

import numpy as np
import pytest

from schemas.time import (
    NS_PER_S,
    Interval,
    grid_ns,
    parse_rate,
    round_to_step_ns,
    seconds_to_ns,
)


def test_interval_is_half_open() -> None:
    interval = Interval(10, 20)
    assert [interval.contains(t) for t in (9, 10, 19, 20)] == [False, True, True, False]
    assert interval.duration_ns == 10
    assert not Interval(10, 10).contains(10)


def test_interval_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="end_ns must be at least start_ns=5, got 4"):
        Interval(5, 4)


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        pytest.param(Interval(0, 10), 0, id="touches"),
        pytest.param(Interval(0, 11), 1, id="one"),
        pytest.param(Interval(12, 15), 3, id="inside"),
        pytest.param(Interval(0, 99), 10, id="around"),
        pytest.param(Interval(20, 30), 0, id="after"),
    ],
)
def test_overlap_both_ways(other: Interval, shared: int) -> None:
    assert Interval(10, 20).overlap_ns(other) == shared
    assert other.overlap_ns(Interval(10, 20)) == shared


def test_seconds_become_the_nearest_nanosecond() -> None:
    assert seconds_to_ns(1.1) == 1_100_000_000
    assert seconds_to_ns(-0.1) == -100_000_000
    assert seconds_to_ns(1309.5) == 1_309_500_000_000


@pytest.mark.parametrize("step", [1, 2, 7, 20])
def test_rounding_goes_to_the_nearest_multiple_ties_upwards(step: int) -> None:
    for t in range(-50, 51):
        wanted = min(range(-100, 101), key=lambda k: (abs(t - k * step), -k)) * step
        assert round_to_step_ns(t, step_ns=step) == wanted


@pytest.mark.parametrize(
    ("interval", "grid"),
    [
        pytest.param(Interval(0, 30), [0, 10, 20], id="end_is_out"),
        pytest.param(Interval(1, 31), [10, 20, 30], id="start_between"),
        pytest.param(Interval(-15, 1), [-10, 0], id="before_zero"),
        pytest.param(Interval(11, 19), [], id="between_points"),
        pytest.param(Interval(10, 10), [], id="empty"),
    ],
)
def test_grid_is_the_multiples_inside(interval: Interval, grid: list[int]) -> None:
    found = grid_ns(interval, step_ns=10)
    assert found.tolist() == grid
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        ("50", Fraction(50)),
        ("30000/1001", Fraction(30000, 1001)),
        ("29.97", Fraction(2997, 100)),
        (50, Fraction(50)),
        (0.1, Fraction(1, 10)),
    ],
)
def test_rates_stay_fractions(value: str | float, rate: Fraction) -> None:
    assert parse_rate(value) == rate


@pytest.mark.parametrize("value", ["fast", "1/0", "", "nan", float("inf")])
def test_rate_must_be_a_number(value: str | float) -> None:
    with pytest.raises(ValueError, match="rate must be a number or a fraction"):
        parse_rate(value)


@pytest.mark.parametrize("value", ["0", "-50", "1e-9"])
def test_rate_must_be_positive(value: str) -> None:
    with pytest.raises(ValueError, match=f"rate must be positive, got '{value}'"):
        parse_rate(value)


def test_a_second_has_a_billion_nanoseconds() -> None:
    assert NS_PER_S == 10**9
