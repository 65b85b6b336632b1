from pathlib import Path

import pytest

from pipelines.storage.places import Place, open_place
from pipelines.stores.contents import (
    child_names,
    file_sizes,
    has_folder,
    has_object,
    is_unfinished,
    read_object,
    sent_file,
)
from schemas.errors import StorageError
from tests.storage_server import Fault, S3Server


@pytest.fixture(params=["disk", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "s3":
        return open_place(request.getfixturevalue("s3_store"))
    return tmp_path if request.param == "disk" else open_place(f"memory://{tmp_path.name}/s")


def put(folder: Place, name: str, data: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with sent_file(folder / name) as file:
        file.write_bytes(data)


def test_a_folder_is_listed_alike_wherever_it_lies(folder: Place) -> None:
    for name, size in (("b/x", 3), ("a", 1), ("b/c/d", 0), ("c", 2)):
        put(folder, name, b"x" * size)
    assert child_names(folder) == ["a", "b", "c"]
    assert file_sizes(folder) == {"a": 1, "b/c/d": 0, "b/x": 3, "c": 2}
    assert list(file_sizes(folder)) == ["a", "b/c/d", "b/x", "c"]
    assert file_sizes(folder / "b") == {"c/d": 0, "x": 3}
    assert read_object(folder / "b" / "x") == b"xxx"
    assert (has_object(folder / "b" / "x"), has_folder(folder / "b" / "x")) == (True, False)
    assert (has_object(folder / "b"), has_folder(folder / "b")) == (False, True)


def test_what_is_not_there_holds_nothing(folder: Place) -> None:
    assert child_names(folder / "none") == []
    assert file_sizes(folder / "none") == {}
    assert not has_object(folder / "none")
    assert not has_folder(folder / "none")
    with pytest.raises(FileNotFoundError):
        read_object(folder / "none")


@pytest.mark.slow
def test_a_fault_is_no_answer(
    s3_server: S3Server, s3_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemas.faults._FIRST_WAIT_S", 0.001)
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    place = open_place(s3_store) / "x"
    with sent_file(place) as file:
        file.write_bytes(b"1")
    s3_server.fail(Fault(kind="500", methods=("HEAD",), at_most=2))
    assert has_object(place)
    s3_server.fail(Fault(kind="500"))
    with pytest.raises(StorageError, match=r"x must answer, got .*run again"):
        has_object(place)
    with pytest.raises(StorageError, match=r"store must answer, got .*run again"):
        file_sizes(place.parent)


def test_neighbours_of_a_like_name_are_not_listed(folder: Place) -> None:
    put(folder, "run/a", b"1")
    put(folder, "runs/b", b"22")
    assert file_sizes(folder / "run") == {"a": 1}
    assert child_names(folder / "run") == ["a"]


@pytest.mark.parametrize(
    ("name", "unfinished"),
    [
        (".run.json.0af.tmp", True),
        ("arrays.zarr/imu/c/0/0/.0.12.tmp", True),
        ("run.json", False),
        ("run.tmp", False),
        (".hidden", False),
        (".x.tmp/run.json", False),
    ],
)
def test_unfinished_files_are_told_by_their_names(name: str, unfinished: bool) -> None:
    assert is_unfinished(name) is unfinished


def test_a_folder_that_was_given_up_does_not_come_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), sent_file(tmp_path / "gone" / "x") as file:
        file.write_bytes(b"1")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StorageError, match=rf"{tmp_path} must allow this user"):
        child_names(tmp_path)
