import copy

import pytest

from schemas.errors import (
    NewerFormatError,
    PrimusError,
    Problem,
    QuarantineLimitError,
    SchemaError,
    StoreDamagedError,
    StoreNotFoundError,
    TakeError,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PrimusError, 1),
        (StoreDamagedError, 1),
        (UsageError, 2),
        (StoreNotFoundError, 2),
        (NewerFormatError, 2),
        (QuarantineLimitError, 3),
    ],
)
def test_each_error_has_its_exit_code(error: type[PrimusError], code: int) -> None:
    assert error("why").exit_code == code


def test_schema_error_travels_with_its_problems() -> None:
    error = SchemaError([Problem("t_ns", "must rise", "order"), Problem("values", "bad", "shape")])
    again = copy.copy(error)
    assert (str(again), again.problems) == ("t_ns: must rise; values: bad", error.problems)


def test_take_error_travels_between_processes() -> None:
    error = TakeError("video_unreadable", "video must open, got nothing")
    assert str(error) == "video_unreadable: video must open, got nothing"
    # Copying goes the same way as sending to another process.
    again = copy.copy(error)
    assert (type(again), again.code, again.detail) == (TakeError, error.code, error.detail)


def test_generic_handlers_catch_ours() -> None:
    assert issubclass(StoreNotFoundError, FileNotFoundError)
    assert issubclass(SchemaError, ValueError)


def test_schema_error_says_every_problem() -> None:
    error = SchemaError([Problem("a", "must be b", "x"), Problem("c", "must be d", "y")])
    assert str(error) == "a: must be b; c: must be d"
    assert len(error.problems) == 2
