"""What may pass is read again; what the machine could not read is told apart from broken files."""

import errno
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from pipelines.source_faults import raise_machine_fault, read_with_retries, told_fault
from schemas.errors import StorageError, TakeError, UsageError

Raiser = Callable[[], str]


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


STALE = OSError(errno.ESTALE, "Stale file handle", "/nfs/secret/a.mp4")
EIO = OSError(errno.EIO, "Input/output error")


class Flaky:
    """Raises each error in turn, then gives an answer."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "read"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(STALE, id="stale"),
        pytest.param(EIO, id="io"),
        pytest.param(TimeoutError("no answer"), id="timeout"),
        pytest.param(caused(TakeError("vrs_unreadable", "broken"), EIO), id="told_by_a_reader"),
        pytest.param(caused(ValueError("bad"), caused(OSError("x"), STALE)), id="deep_beneath"),
    ],
)
def test_a_fault_that_passes_costs_a_wait(error: Exception) -> None:
    do, waits = Flaky(error, error), list[float]()
    assert read_with_retries(do, what="take a", wait=waits.append) == "read"
    assert do.calls == 3
    assert len(waits) == 2
    assert waits[1] > 0


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(TakeError("vrs_unreadable", "broken"), id="data"),
        pytest.param(FileNotFoundError(2, "gone"), id="absent"),
        pytest.param(ValueError("bug"), id="bug"),
        pytest.param(caused(UsageError("wrong"), EIO), id="handed_on"),
    ],
)
def test_a_fault_of_the_data_is_told_at_once(error: Exception) -> None:
    do, waits = Flaky(error), list[float]()
    with pytest.raises(type(error), match=str(error).replace("[", r"\[")):
        read_with_retries(do, what="take a", wait=waits.append, passes=(UsageError,))
    assert (do.calls, waits) == (1, [])


def test_an_error_met_while_another_was_handled_is_no_cause() -> None:
    def do() -> str:
        try:
            raise STALE
        except OSError:
            raise TakeError("frame_count_mismatch", "frames must match") from None

    with pytest.raises(TakeError, match="frame_count_mismatch"):
        read_with_retries(do, what="take a", wait=lambda _s: pytest.fail("waited"))


def test_what_does_not_pass_is_raised_with_its_cause() -> None:
    told = caused(TakeError("vrs_unreadable", "broken"), EIO)
    do, waits = Flaky(*[told] * 50), list[float]()
    with pytest.raises(TakeError, match="vrs_unreadable") as caught:
        read_with_retries(do, what="take a", wait=waits.append)
    assert caught.value.__cause__ is EIO
    assert 2 <= do.calls <= 10
    assert sum(waits) < 120


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (STALE, "OSError: Stale file handle"),
        (caused(TakeError("vrs_unreadable", "broken"), EIO), "OSError: Input/output error"),
        (PermissionError(13, "Permission denied", "/d/a.vrs"), "PermissionError: Permission den"),
        (caused(TakeError("x", "y"), PermissionError(13, "Permission denied")), "PermissionErr"),
    ],
)
def test_what_the_machine_could_not_read_has_a_reason_of_its_own(
    error: Exception, said: str, tmp_path: Path
) -> None:
    fault = told_fault(error, files=[tmp_path / "any"])
    assert fault is not None
    assert fault.code == "source_unreadable"
    assert f"got {said}" in fault.detail
    assert "/" not in fault.detail.replace("Input/output", "")
    assert fault.detail.endswith("primus-prep retry --reason source_unreadable")


@pytest.mark.parametrize("error", [TakeError("a", "b"), ValueError("x"), FileNotFoundError(2, "x")])
def test_what_it_could_read_is_no_fault_of_the_machine(error: Exception) -> None:
    assert told_fault(error, files=()) is None


def test_a_decoder_that_says_input_output_error_is_held_against_the_file(tmp_path: Path) -> None:
    by_decoder = caused(
        TakeError("video_unreadable", "broken"),
        av.error.OSError(errno.EIO, "Input/output error", "a.mp4"),
    )
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video")
    assert told_fault(by_decoder, files=[path]) is None
    # A folder opens for nobody: a file that the machine cannot read.
    fault = told_fault(by_decoder, files=[path, tmp_path])
    assert fault is not None
    assert fault.code == "source_unreadable"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_what_cannot_be_written_ends_the_run(number: int, tmp_path: Path) -> None:
    inner = OSError(number, "no")
    with pytest.raises(StorageError, match=rf"^{tmp_path}/parts .*run again$"):
        raise_machine_fault(caused(TakeError("a", "b"), inner), place=tmp_path / "parts")
    named = OSError(number, "no", str(tmp_path / "scratch" / "x.csv"))
    with pytest.raises(StorageError, match=rf"^{tmp_path}/scratch "):
        raise_machine_fault(named, place=tmp_path / "parts")


def test_a_storage_error_beneath_another_is_raised_itself(tmp_path: Path) -> None:
    below = StorageError("place must have room")
    with pytest.raises(StorageError, match="place must have room") as caught:
        raise_machine_fault(caused(TakeError("a", "b"), below), place=tmp_path)
    assert caught.value is below


def test_faults_of_data_do_not_end_the_run(tmp_path: Path) -> None:
    for error in (TakeError("a", "b"), EIO, ValueError("x"), PermissionError(13, "x")):
        raise_machine_fault(error, place=tmp_path)
