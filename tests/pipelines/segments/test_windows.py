import numpy as np
import pytest

from pipelines.segments.windows import published_window, segment_around
from schemas.manifest import Drop
from schemas.time import NS_PER_S, Interval, seconds_to_ns

TAKE = Interval(0, 100)
STEP_NS = 20_000_000
SHORTER = Drop("take_shorter_than_segment")


@pytest.mark.parametrize(
    ("t_ns", "start_ns"),
    [
        pytest.param(50, 45, id="middle"),
        pytest.param(2, 0, id="left_edge"),
        pytest.param(0, 0, id="first_instant"),
        pytest.param(5, 0, id="just_fits_left"),
        pytest.param(6, 1, id="one_further"),
        pytest.param(95, 90, id="just_fits_right"),
        pytest.param(99, 90, id="right_edge"),
    ],
)
def test_segment_keeps_its_length_inside_the_take(t_ns: int, start_ns: int) -> None:
    found = segment_around(t_ns, take=TAKE, length_ns=10, step_ns=1)
    assert found == Interval(start_ns, start_ns + 10)


def test_start_is_the_nearest_multiple_of_the_step_by_slow_search() -> None:
    take, length, step = Interval(3, 97), 11, 4
    starts = [s for s in range(0, 100, step) if s >= 3 and s + length <= 97]
    for t_ns in range(3, 97):
        wanted = t_ns - length // 2
        found = segment_around(t_ns, take=take, length_ns=length, step_ns=step)
        assert isinstance(found, Interval)
        # Nearest of all possible starts, the later one in a tie.
        assert found.start_ns == min(starts, key=lambda s: (abs(s - wanted), -s))
        assert found.duration_ns == length


def test_take_exactly_as_long_as_the_segment_holds_one() -> None:
    assert segment_around(3, take=Interval(0, 10), length_ns=10, step_ns=1) == Interval(0, 10)


@pytest.mark.parametrize("take", [Interval(0, 9), Interval(1, 12)], ids=["short", "off_the_step"])
def test_take_without_room_is_dropped_with_its_reason(take: Interval) -> None:
    assert segment_around(5, take=take, length_ns=10, step_ns=5) == SHORTER


@pytest.mark.parametrize("t_ns", [-1, 100])
def test_instant_outside_the_take_is_refused(t_ns: int) -> None:
    with pytest.raises(ValueError, match=rf"must lie in \[0, 100\), got {t_ns}"):
        segment_around(t_ns, take=TAKE, length_ns=10, step_ns=1)
    with pytest.raises(ValueError, match=rf"must lie in \[0, 100\), got {t_ns}"):
        published_window(t_ns, take=TAKE, length_ns=NS_PER_S, step_ns=STEP_NS)


# Worked by hand from the published rule for a 5-s window in a take of 20.7 s.
PUBLISHED = [
    pytest.param(0.0, 0, id="start"),
    pytest.param(4.9, 0, id="inside_first_window"),
    pytest.param(5.0, 0, id="one_length_in_is_still_the_first_window"),
    pytest.param(5.1, 2, id="just_past_it_is_centred_and_floored"),
    pytest.param(7.49, 4, id="floors_4.99_to_4"),
    pytest.param(7.5, 5, id="exact_second"),
    pytest.param(15.6, 13, id="centred_near_the_end"),
    pytest.param(15.7, 15, id="one_length_before_the_end_is_the_last_window"),
    pytest.param(20.6, 15, id="end_floors_20.7_to_20"),
]


@pytest.mark.parametrize(("seconds", "start_s"), PUBLISHED)
def test_published_window_follows_the_table(seconds: float, start_s: int) -> None:
    take = Interval(0, seconds_to_ns(20.7))
    found = published_window(
        seconds_to_ns(seconds), take=take, length_ns=5 * NS_PER_S, step_ns=STEP_NS
    )
    assert found == Interval(start_s * NS_PER_S, (start_s + 5) * NS_PER_S)


def test_published_window_agrees_with_the_rule_in_seconds() -> None:
    rng = np.random.default_rng(0)
    for duration_ms in (5_000, 5_999, 6_000, 9_700, 41_000):
        take = Interval(0, duration_ms * 1_000_000)
        for t_ms in rng.integers(0, duration_ms, 200).tolist():
            duration, t = duration_ms / 1000, t_ms / 1000
            if t <= 5:
                low, high = 0.0, 5.0
            elif t + 5 >= duration:
                low, high = duration - 5, duration
            else:
                low, high = t - 2.5, t + 2.5
            found = published_window(
                t_ms * 1_000_000, take=take, length_ns=5 * NS_PER_S, step_ns=STEP_NS
            )
            assert found == Interval(int(low) * NS_PER_S, int(high) * NS_PER_S)


def test_published_window_drops_a_take_that_ends_before_it() -> None:
    take = Interval(0, 5 * NS_PER_S - 1)
    assert published_window(1, take=take, length_ns=5 * NS_PER_S, step_ns=STEP_NS) == SHORTER


def test_published_window_needs_whole_seconds() -> None:
    with pytest.raises(ValueError, match="whole number of seconds, got 1500000000"):
        published_window(1, take=Interval(0, 10), length_ns=1_500_000_000, step_ns=STEP_NS)


def test_published_window_starts_on_the_step_where_the_take_does_not() -> None:
    take = Interval(13_000_001, 13_000_001 + 21 * NS_PER_S)
    for t_ns in (take.start_ns, 9 * NS_PER_S, take.end_ns - 1):
        found = published_window(t_ns, take=take, length_ns=5 * NS_PER_S, step_ns=STEP_NS)
        assert isinstance(found, Interval)
        assert (found.start_ns - STEP_NS) % NS_PER_S == 0
        assert take.start_ns <= found.start_ns <= found.end_ns <= take.end_ns
