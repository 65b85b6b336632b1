import errno
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.storage.faults import is_transient, storage_faults, with_retries
from pipelines.storage.places import Place, open_place
from schemas.errors import StorageError
from tests.storage_server import Fault, S3Server

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


@pytest.fixture
def impatient(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The S3 server, whose requests are sent once each."""
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    return s3_server


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


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "must have room: free some"),
        (errno.EDQUOT, "within your quota"),
        (errno.EROFS, "mounted read-only"),
        (errno.EACCES, "must allow this user to read and write: change its permissions"),
        (errno.EPERM, "must allow this user"),
        (errno.EFBIG, "files of this size"),
        (errno.EMFILE, "too many files are open"),
        (errno.ENOTDIR, "got a file above it"),
        (errno.EIO, "must answer, got OSError.*finished work is kept"),
    ],
)
def test_each_fault_of_a_disk_names_place_and_way_out(
    number: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match=said) as told, storage_faults(tmp_path):
        raise OSError(number, "x")
    assert str(tmp_path) in str(told.value)
    assert told.value.exit_code == 1


def test_full_disk_under_a_copy_is_not_the_object_stores() -> None:
    place = open_place("memory://bucket/x")
    with pytest.raises(StorageError, match="set TMPDIR") as told, storage_faults(place):
        raise OSError(errno.ENOSPC, "x")
    assert tempfile.gettempdir() in str(told.value)


@pytest.mark.parametrize("error", [FileNotFoundError("x"), ValueError("x"), StorageError("x")])
def test_what_is_no_fault_of_storage_passes(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error), match=r"^x$"), storage_faults(tmp_path):
        raise error


def test_password_of_an_endpoint_is_not_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"://\*\*\*@host") as told, storage_faults(tmp_path):
        raise ConnectionError("could not reach http://me:hunter2@host:9000/bucket")
    assert "hunter2" not in str(told.value)


def _write(place: Place) -> None:
    with storage_faults(place):
        place.write_bytes(b"x")


def test_missing_bucket_is_one_sentence(s3_server: S3Server) -> None:
    with pytest.raises(StorageError, match="s3://none-such/x must lie in a bucket that exists"):
        _write(open_place("s3://none-such/x"))


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_refused_credentials_are_one_sentence(
    code: str, s3_server: S3Server, s3_store: str
) -> None:
    place = open_place(s3_store) / "x"
    s3_server.fail(Fault(kind="refuse", code=code))
    with pytest.raises(StorageError, match=f"allow these credentials.*{code}") as told:
        _write(place)
    assert str(place) in str(told.value)
    assert s3_server.secret_key not in str(told.value)


def test_no_credentials_are_one_sentence(
    s3_server: S3Server, s3_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    with pytest.raises(StorageError, match=r"needs credentials.*AWS_ACCESS_KEY_ID"):
        _write(open_place(s3_store) / "x")


@pytest.mark.parametrize(
    ("kind", "said"), [("500", "OSError"), ("503", "reduce your"), ("cut", "")]
)
def test_server_that_stays_ill_is_one_sentence(
    kind: str, said: str, impatient: S3Server, s3_store: str
) -> None:
    impatient.fail(Fault(kind=kind))  # type: ignore[arg-type]
    with pytest.raises(StorageError, match=f"{s3_store}/x must answer, got .*{said}.*run again"):
        _write(open_place(s3_store) / "x")


def test_server_that_is_not_there_is_one_sentence(
    impatient: S3Server, s3_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="must answer, got EndpointConnectionError"):
        _write(open_place(s3_store) / "x")
