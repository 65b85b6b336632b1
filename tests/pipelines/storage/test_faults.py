import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.storage.faults import storage_faults, temporary_faults
from pipelines.storage.places import Place, open_place
from schemas.errors import StorageError
from tests.storage_server import Fault, S3Server


@pytest.fixture
def impatient(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The S3 server, whose requests are sent once each."""
    from s3fs import S3FileSystem

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    return s3_server


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


def test_what_moves_the_folder_of_copies_is_named(tmp_path: Path) -> None:
    place = open_place("memory://bucket/x")
    said = (
        rf"^the folder for temporary files {tmp_path} must have room for a copy of {place}: free "
        r"some, or set execution\.scratch to another, then run again$"
    )
    with (
        pytest.raises(StorageError, match=said),
        storage_faults(place, copies=tmp_path, copies_field="execution.scratch"),
    ):
        raise OSError(errno.ENOSPC, "x")


def test_temporary_files_are_moved_by_the_environment() -> None:
    said = rf"^{tempfile.gettempdir()} must have room: .* name another place \(TMPDIR\), then run"
    with pytest.raises(StorageError, match=said), temporary_faults():
        raise OSError(errno.ENOSPC, "x")


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


def test_the_field_that_names_the_place_is_said(s3_server: S3Server, tmp_path: Path) -> None:
    said = r"must lie in a bucket that exists: make it, or name another place \(dataset.root\)$"
    with (
        pytest.raises(StorageError, match=said),
        storage_faults(open_place("s3://none-such/x"), fields="dataset.root"),
    ):
        open_place("s3://none-such/x").write_bytes(b"x")
    with (
        pytest.raises(StorageError, match=r"or name another place \(execution.scratch\), then run"),
        storage_faults(tmp_path, fields="execution.scratch"),
    ):
        raise OSError(errno.ENOSPC, "x")


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
