import pytest

from pipelines.synthetic.arguments import (
    assign_faults,
    check_counts,
    check_size_px,
    parse_full_size,
)
from pipelines.synthetic.faults import faults_of
from schemas.errors import UsageError


def test_counts_start_at_one() -> None:
    check_counts(takes=1, participants=1, seconds=1)
    for takes, participants, seconds in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.9)):
        with pytest.raises(UsageError, match=f"at least 1, got {takes}, {participants}, {seconds}"):
            check_counts(takes=takes, participants=participants, seconds=seconds)


def test_sides_are_multiples_of_four() -> None:
    for good in (4, 224):
        check_size_px(good)
    for wrong in (-4, 0, 2, 6):
        with pytest.raises(UsageError, match=f"positive multiple of 4, got {wrong}"):
            check_size_px(wrong)


def test_large_pictures_are_of_none_of_the_first_or_of_all() -> None:
    assert parse_full_size("none", takes=3) == (False, False, False)
    assert parse_full_size("one", takes=3) == (True, False, False)
    assert parse_full_size("all", takes=3) == (True, True, True)
    with pytest.raises(UsageError, match="full_size must be none, one or all, got 'two'"):
        parse_full_size("two", takes=3)


def test_faults_go_to_the_last_takes_first() -> None:
    given = assign_faults(["imu_nan", "imu_gap"], dataset="realworld", takes=5)
    assert given == {4: "imu_nan", 3: "imu_gap"}
    assert assign_faults([], dataset="realworld", takes=5) == {}


def test_all_faults_are_one_take_each() -> None:
    names = list(faults_of("realworld"))
    given = assign_faults(["all"], dataset="realworld", takes=len(names))
    assert given == dict(zip(reversed(range(len(names))), names, strict=True))
    with pytest.raises(UsageError, match="faults must be no more than takes=1, got 2"):
        assign_faults(["imu_nan", "imu_gap"], dataset="realworld", takes=1)
