import errno
from collections.abc import Callable

import pytest

from schemas.faults import is_transient, tell_fault, with_retries

PASSING = ("EAGAIN", "EBUSY", "ECONNRESET", "EIO", "EPIPE", "ESTALE", "ETIMEDOUT", "EREMOTEIO")
LASTING = ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "ENOENT", "EISDIR", "EINVAL", "EFBIG")


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def failing(*errors: Exception) -> tuple[Callable[[], str], list[int]]:
    calls: list[int] = []
    left = iter(errors)

    def do() -> str:
        calls.append(1)
        for error in left:
            raise error
        return "done"

    return do, calls


@pytest.mark.parametrize("name", PASSING)
def test_faults_that_may_pass(name: str) -> None:
    assert is_transient(OSError(getattr(errno, name), "x"))


@pytest.mark.parametrize("name", LASTING)
def test_faults_that_stay(name: str) -> None:
    assert not is_transient(OSError(getattr(errno, name), "x"))


def test_faults_of_data_and_code_stay() -> None:
    assert not any(map(is_transient, (ValueError("x"), KeyError("x"), MemoryError())))


@pytest.mark.parametrize(("status", "passes"), [(503, True), ("429", True), (403, False)])
def test_status_of_an_answer_decides(status: object, passes: bool) -> None:
    error = RuntimeError("answered")
    error.code = status  # type: ignore[attr-defined]
    assert is_transient(error) is passes


def test_tried_again_later_each_time() -> None:
    do, calls = failing(*[ConnectionResetError("cut")] * 4)
    clock = Clock()
    assert with_retries(do, what="x", wait=clock.wait, clock=lambda: clock.now) == "done"
    assert len(calls) == 5
    # Half of 0.4, 0.8, 1.6, 3.2 s at least, all of it at most.
    for waited, longest in zip(clock.waits, (0.4, 0.8, 1.6, 3.2), strict=True):
        assert longest / 2 <= waited <= longest


def test_last_fault_is_raised() -> None:
    do, calls = failing(*[ConnectionResetError(f"cut {i}") for i in range(9)])
    with pytest.raises(ConnectionResetError, match="cut 2"):
        with_retries(do, what="x", attempts=3, wait=lambda _: None)
    assert len(calls) == 3


def test_what_stays_is_raised_at_once() -> None:
    do, calls = failing(PermissionError("no"))
    with pytest.raises(PermissionError, match="no"):
        with_retries(do, what="x", wait=lambda _: None)
    assert len(calls) == 1


def test_no_attempt_begins_after_the_time_is_up() -> None:
    clock = Clock()
    calls: list[float] = []

    def slow() -> None:
        calls.append(clock.now)
        clock.now += 14.0
        raise TimeoutError("slow")

    with pytest.raises(TimeoutError, match="slow"):
        with_retries(slow, what="x", within_s=30.0, wait=clock.wait, clock=lambda: clock.now)
    assert len(calls) == 3
    assert max(calls) <= 30.0


def test_what_is_told_is_short_and_holds_no_password() -> None:
    said = tell_fault(ConnectionError("no answer of http://me:hunter2@host:9000/" + "x" * 500))
    assert said.startswith("ConnectionError: no answer of http://***@host:9000/xxx")
    assert len(said) == len("ConnectionError: ") + 200
