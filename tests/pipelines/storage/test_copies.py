import pytest

from pipelines.storage.copies import CopyShelf, kept_copy
from pipelines.storage.files import write_atomic
from pipelines.storage.places import RemotePlace, is_local, open_place
from tests.storage_server import S3Server


@pytest.fixture
def place(s3_store: str) -> RemotePlace:
    place = open_place(s3_store)
    assert not is_local(place)
    return place


def read(shelf: CopyShelf, place: RemotePlace) -> bytes:
    with shelf.open(place) as copy:
        return copy.read_bytes()


def test_second_reading_fetches_nothing(s3_server: S3Server, place: RemotePlace) -> None:
    write_atomic(place / "x", b"one")
    shelf = CopyShelf()
    assert read(shelf, place / "x") == b"one"
    s3_server.fail()
    assert read(shelf, place / "x") == b"one"
    assert s3_server.counts()["requests"] == {"HEAD": 1}


def test_replaced_object_is_read_anew(place: RemotePlace) -> None:
    shelf = CopyShelf()
    write_atomic(place / "x", b"one")
    with shelf.open(place / "x") as before:
        write_atomic(place / "x", b"two")
        assert read(shelf, place / "x") == b"two"
        # Whoever reads the first goes on with it.
        assert before.read_bytes() == b"one"
    assert not before.exists()
    assert shelf.kept_bytes == 3


def test_removed_object_is_gone(place: RemotePlace) -> None:
    shelf = CopyShelf()
    write_atomic(place / "x", b"one")
    assert read(shelf, place / "x") == b"one"
    (place / "x").unlink()
    with pytest.raises(FileNotFoundError):
        read(shelf, place / "x")


def test_bounded_and_the_oldest_go_first(s3_server: S3Server, place: RemotePlace) -> None:
    shelf = CopyShelf(max_bytes=10)
    for name in "abc":
        write_atomic(place / name, name.encode() * 5)
    read(shelf, place / "a")
    read(shelf, place / "b")
    read(shelf, place / "a")
    read(shelf, place / "c")
    assert shelf.kept_bytes == 10
    s3_server.fail()
    read(shelf, place / "a")
    assert "GET" not in s3_server.counts()["requests"]
    read(shelf, place / "b")
    assert s3_server.counts()["requests"]["GET"] == 1


def test_copy_in_use_stays_however_large(place: RemotePlace) -> None:
    shelf = CopyShelf(max_bytes=1)
    write_atomic(place / "x", b"12345")
    write_atomic(place / "y", b"12345")
    with shelf.open(place / "x") as copy:
        read(shelf, place / "y")
        assert copy.read_bytes() == b"12345"
    assert shelf.kept_bytes == 0


def test_failed_reader_lets_go(place: RemotePlace) -> None:
    shelf = CopyShelf(max_bytes=1)
    write_atomic(place / "x", b"12345")
    with pytest.raises(RuntimeError, match="reader"), shelf.open(place / "x"):
        raise RuntimeError("reader")
    assert shelf.kept_bytes == 0


def test_file_of_this_machine_is_its_own_copy(tmp_path: object) -> None:
    here = open_place(str(tmp_path))
    with kept_copy(here) as copy:
        assert copy == here
