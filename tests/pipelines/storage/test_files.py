import errno
import os
import resource
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from pipelines.storage import files
from pipelines.storage.files import (
    file_sha256,
    local_copy,
    open_atomic,
    remove_folder,
    upload,
    write_atomic,
)
from pipelines.storage.places import Place, open_place
from schemas.errors import StorageError
from tests.storage_server import Fault, S3Server

# Hashed in blocks of 8 MiB.
LARGE = (16 << 20) + 3


@pytest.fixture(params=["local", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place on a disk, in memory, and on a real S3 server."""
    if request.param == "local":
        return tmp_path / "store"
    if request.param == "memory":
        return open_place(f"memory://test{tmp_path}")
    return open_place(request.getfixturevalue("s3_store"))


def names(place: Place) -> list[str]:
    return sorted(p.name for p in place.iterdir())


def test_file_appears_whole(place: Place) -> None:
    path = place / "a" / "b.json"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["b.json"]


def test_streamed_file_appears_at_the_end(place: Place) -> None:
    path = place / "b.bin"
    with open_atomic(path) as file:
        file.write(b"x" * 100)
        file.flush()
        assert not path.exists()
        file.write(b"y")
    assert path.read_bytes() == b"x" * 100 + b"y"
    assert names(place) == ["b.bin"]


def test_failed_write_leaves_the_old_file_and_no_litter(place: Place) -> None:
    path = place / "b.json"
    write_atomic(path, b"one")

    def write_half() -> None:
        with open_atomic(path) as file:
            file.write(b"tw")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()
    assert path.read_bytes() == b"one"
    assert names(place) == ["b.json"]


def test_what_the_caller_could_not_read_is_not_the_places_fault(place: Place) -> None:
    with pytest.raises(PermissionError, match="source"), open_atomic(place / "x"):
        raise PermissionError(errno.EACCES, "source")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 3])
def test_digest_of_any_size(tmp_path: Path, size: int) -> None:
    data = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    (tmp_path / "x").write_bytes(data[:size])
    assert file_sha256(tmp_path / "x") == sha256(data[:size]).hexdigest()


def test_copies_there_and_back_are_equal(place: Place, tmp_path: Path) -> None:
    data = os.urandom(1000) * 3
    (tmp_path / "source").write_bytes(data)
    upload(tmp_path / "source", place / "far")
    assert file_sha256(place / "far") == sha256(data).hexdigest()
    with local_copy(place / "far") as copy:
        assert copy.read_bytes() == data
    assert copy.exists() == (copy == place / "far")


def test_copy_of_nothing_is_refused(place: Place) -> None:
    if isinstance(place, Path):
        # It is its own copy, and whoever opens it is told.
        with local_copy(place / "none") as same:
            assert same == place / "none"
        return
    with pytest.raises(FileNotFoundError), local_copy(place / "none"):
        pytest.fail("there is nothing")


def test_removed_folder_is_gone_and_may_be_gone_already(place: Place) -> None:
    write_atomic(place / "a" / "b", b"1")
    write_atomic(place / "a" / "c" / "d", b"2")
    write_atomic(place / "ab", b"3")
    remove_folder(place / "a")
    remove_folder(place / "a")
    assert not (place / "a" / "c" / "d").exists()
    assert names(place) == ["ab"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["500", "503", "cut", "cut_after"])
def test_every_third_request_goes_wrong_and_nothing_does(
    kind: str, s3_server: S3Server, s3_store: str, tmp_path: Path
) -> None:
    place = open_place(s3_store)
    data = os.urandom(1 << 16)
    (tmp_path / "source").write_bytes(data)
    s3_server.fail(Fault(kind=kind, every=3))  # type: ignore[arg-type]
    for i in range(2):
        write_atomic(place / f"{i}", data)
        upload(tmp_path / "source", place / f"up-{i}")
        with local_copy(place / f"{i}") as copy:
            assert copy.read_bytes() == data
        assert file_sha256(place / f"up-{i}") == sha256(data).hexdigest()
    assert s3_server.counts()["faults"][kind] >= 3


@pytest.mark.slow
def test_cut_download_goes_on_where_it_was_cut(s3_server: S3Server, s3_store: str) -> None:
    place = open_place(s3_store) / "large"
    data = os.urandom(1 << 20) * (LARGE >> 20) + b"end"
    write_atomic(place, data)
    s3_server.fail(Fault(kind="cut", methods=("GET",), at_most=2))
    with local_copy(place) as copy:
        assert sha256(copy.read_bytes()).digest() == sha256(data).digest()
    s3_server.fail(Fault(kind="cut", methods=("GET",), at_most=1))
    assert file_sha256(place) == sha256(data).hexdigest()
    assert s3_server.counts()["faults"]["cut"] >= 1


def test_short_answer_is_never_taken_for_whole(
    s3_server: S3Server, s3_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Servers that keep no checksums say nothing of it: only the size tells.
    monkeypatch.setenv("AWS_RESPONSE_CHECKSUM_VALIDATION", "when_required")
    place = open_place(s3_store) / "x"
    write_atomic(place, b"0123456789" * 10)
    s3_server.fail(Fault(kind="short", methods=("GET",), at_most=1))
    with local_copy(place) as copy:
        assert copy.read_bytes() == b"0123456789" * 10
    assert s3_server.counts()["faults"] == {"short": 1}
    s3_server.fail(Fault(kind="short", methods=("GET",)))
    monkeypatch.setattr(files, "with_retries", lambda do, what: do())
    with pytest.raises(StorageError, match="of 100 bytes was cut short, 50 came"):
        local_copy(place).__enter__()


@pytest.mark.slow
def test_file_size_limit_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipelines.storage.files import write_atomic\n"
        "from schemas.errors import StorageError\n"
        "try: write_atomic(Path(sys.argv[1]), bytes(1 << 20))\n"
        "except StorageError as error: print(error)"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "part")],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{tmp_path}/part must allow files of this size" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Opening succeeds and every write fails, as on a disk that is full.
    monkeypatch.setattr(files._WatchedFile, "__init__", _open_full)
    with pytest.raises(StorageError, match="must have room: free some") as told:
        write_atomic(tmp_path / "x", b"x")
    assert str(tmp_path / "x") in str(told.value)


def _open_full(self: files._WatchedFile, path: Path, place: Place) -> None:
    super(files._WatchedFile, self).__init__("/dev/full", "wb")
    self._place = place
