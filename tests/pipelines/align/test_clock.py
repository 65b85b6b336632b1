import numpy as np
import pytest

from pipelines.align.clock import TakeClock
from schemas.time import Interval

CLOCK = TakeClock(
    device_ns=np.array([1000, 1100, 1300]),
    take_ns=np.array([0, 200, 300]),
    span=Interval(0, 400),
)


@pytest.mark.parametrize(
    ("device_ns", "take_ns"),
    [
        pytest.param(1000, 0, id="first"),
        pytest.param(1050, 100, id="first_stretch"),
        pytest.param(1200, 250, id="second_stretch"),
        pytest.param(1300, 300, id="last"),
        pytest.param(900, -100, id="before_at_mean_rate"),
        pytest.param(1600, 600, id="after_at_mean_rate"),
    ],
)
def test_instants_map_both_ways(device_ns: int, take_ns: int) -> None:
    assert CLOCK.to_take_ns(np.array([device_ns])).tolist() == [take_ns]
    assert CLOCK.to_device_ns(np.array([take_ns])).tolist() == [device_ns]


def test_map_equals_a_slow_loop_and_comes_back_to_the_nanosecond() -> None:
    rng = np.random.default_rng(3)
    device = 3_000_000_000_000 + np.cumsum(rng.integers(33_000_000, 34_000_000, 50))
    take = np.arange(50) * 1_000_000_000 // 30
    clock = TakeClock(device_ns=device, take_ns=take, span=Interval(0, int(take[-1])))
    asked = np.sort(rng.integers(device[0], device[-1], 200))
    expected = []
    for t in asked.tolist():
        k = max(i for i in range(50) if device[i] <= t)
        k = min(k, 48)
        share = (t - int(device[k])) / (int(device[k + 1]) - int(device[k]))
        expected.append(int(take[k]) + share * (int(take[k + 1]) - int(take[k])))
    np.testing.assert_allclose(clock.to_take_ns(asked), expected, rtol=0, atol=1)
    np.testing.assert_allclose(clock.to_device_ns(clock.to_take_ns(asked)), asked, atol=2)


def test_identity_changes_nothing() -> None:
    clock = TakeClock.identity(Interval(0, 5_000_000_000), uncertainty_ns=7)
    t = np.array([-1_000_000_000, 0, 123_456_789, 9_000_000_000])
    assert clock.to_take_ns(t).tolist() == t.tolist()
    assert clock.uncertainty_ns == 7


def test_instants_that_do_not_increase_are_refused() -> None:
    with pytest.raises(ValueError, match="device_ns must be strictly increasing"):
        TakeClock(device_ns=np.array([0, 0]), take_ns=np.array([0, 1]), span=Interval(0, 1))


def test_one_instant_is_too_few() -> None:
    with pytest.raises(ValueError, match="take_ns must be int64"):
        TakeClock(device_ns=np.array([0, 1]), take_ns=np.array([0]), span=Interval(0, 1))


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="of one length, got 3 and 2"):
        TakeClock(device_ns=np.array([0, 1, 2]), take_ns=np.array([0, 1]), span=Interval(0, 1))
