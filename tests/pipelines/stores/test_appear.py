"""A version appears whole, wherever its store lies, or not at all."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.storage.files import write_atomic
from pipelines.storage.places import Place, open_place
from pipelines.stores.appear import stage
from pipelines.stores.contents import child_names, file_sizes
from pipelines.stores.refs import list_tags, list_versions
from pipelines.stores.sealed import find_digest_problems, read_manifest
from schemas.errors import StorageError
from schemas.manifest import ObjectEntry
from schemas.store import version_path
from tests.factories import FakeTake
from tests.publisher import publish_window, write_parts
from tests.storage_server import Fault, S3Server


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="module")
def fakes(parts: Path) -> list[FakeTake]:
    return write_parts(parts)


@pytest.fixture(scope="module")
def objects(
    parts: Path, fakes: list[FakeTake], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, tuple[ObjectEntry, ...]]:
    """Id and objects of the version, published on a disk."""
    store = tmp_path_factory.mktemp("reference")
    version = publish_window(str(store), parts=parts, fakes=fakes, which=0, seed=None)
    return version, read_manifest(store, version).objects


@pytest.fixture(params=["disk", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        found: str = request.getfixturevalue("s3_store")
        return found
    return str(tmp_path) if request.param == "disk" else f"memory://{tmp_path.name}"


def bytes_of(store: Place, version: str) -> dict[str, bytes]:
    folder = store / version_path(version)
    return {name: (folder / name).read_bytes() for name in file_sizes(folder)}


def test_objects_are_the_same_wherever_the_store_lies(
    uri: str, parts: Path, fakes: list[FakeTake], objects: tuple[str, tuple[ObjectEntry, ...]]
) -> None:
    version = publish_window(uri, parts=parts, fakes=fakes, which=0, seed=None)
    store = open_place(uri)
    assert (version, read_manifest(store, version).objects) == objects
    assert find_digest_problems(store, version) == []
    assert list_tags(store) == {"latest": version}
    assert child_names(store / "versions") == [version]
    before = bytes_of(store, version)
    assert publish_window(uri, parts=parts, fakes=fakes, which=0, seed=None) == version
    # Its run record too is that of the first making.
    assert bytes_of(store, version) == before


@pytest.mark.parametrize("damaged", ["arrays.zarr/video/c/0/0", "manifest.json", "run.json"])
@pytest.mark.parametrize("how", ["altered", "missing"])
@pytest.mark.parametrize("where", ["disk", "memory"])
def test_a_damaged_version_is_mended_in_place(
    tmp_path: Path, parts: Path, fakes: list[FakeTake], where: str, damaged: str, how: str
) -> None:
    uri = str(tmp_path) if where == "disk" else f"memory://{tmp_path.name}"
    check_mending(uri, parts=parts, fakes=fakes, damaged=damaged, how=how)


@pytest.mark.slow
def test_a_damaged_version_is_mended_in_an_object_store(
    s3_store: str, parts: Path, fakes: list[FakeTake]
) -> None:
    damaged = "arrays.zarr/video/c/0/0"
    check_mending(s3_store, parts=parts, fakes=fakes, damaged=damaged, how="missing")


def check_mending(uri: str, *, parts: Path, fakes: list[FakeTake], damaged: str, how: str) -> None:
    store = open_place(uri)
    version = publish_window(uri, parts=parts, fakes=fakes, which=0, seed=None)
    before = bytes_of(store, version)
    folder = store / version_path(version)
    if how == "altered":
        write_atomic(folder / damaged, b"x" + before[damaged][1:])
    else:
        (folder / damaged).unlink()
    write_atomic(folder / "extra.txt", b"nobody asked for this")
    times = {name: (folder / name).stat().st_mtime for name in before if name != damaged}
    assert publish_window(uri, parts=parts, fakes=fakes, which=0, seed=None) == version
    assert find_digest_problems(store, version) == []
    after = bytes_of(store, version)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} <= {"run.json"}
    if damaged == "arrays.zarr/video/c/0/0":
        # Nothing else was touched: whoever reads it meanwhile is not disturbed.
        assert {name: (folder / name).stat().st_mtime for name in times} == times
        assert after == before
    assert child_names(store / "versions") == [version]


def test_what_a_killed_copy_left_is_no_version_and_is_replaced(
    uri: str, parts: Path, fakes: list[FakeTake], objects: tuple[str, tuple[ObjectEntry, ...]]
) -> None:
    version, entries = objects
    store = open_place(uri)
    folder = store / version_path(version)
    for entry in entries[:3]:
        # As large as they should be, and wrong.
        write_atomic(folder / entry.path, b"?" * entry.size)
    assert list_versions(store) == []
    assert publish_window(uri, parts=parts, fakes=fakes, which=0, seed=None) == version
    assert find_digest_problems(store, version) == []


def test_what_moves_the_drivers_files_depends_on_where_the_store_lies(tmp_path: Path) -> None:
    with stage(tmp_path, "a") as here, stage(open_place("memory://hidden/x"), "a") as there:
        assert here.work == here.folder
        assert here.work_fields == "store.uri, store.parts"
        assert there.work.is_relative_to(tempfile.gettempdir())
        assert there.work_fields == "TMPDIR"


def test_a_write_under_way_is_no_damage(tmp_path: Path, parts: Path, fakes: list[FakeTake]) -> None:
    """Another publisher may just be writing its profile into the run record of this version."""
    version = publish_window(str(tmp_path), parts=parts, fakes=fakes, which=0, seed=None)
    writing = tmp_path / version_path(version, ".run.json.0123.tmp")
    writing.write_bytes(b"{")
    assert find_digest_problems(tmp_path, version) == []
    folder = tmp_path / version_path(version)
    made = folder.stat().st_ino
    publish_window(str(tmp_path), parts=parts, fakes=fakes, which=0, seed=None)
    assert (folder.stat().st_ino, writing.read_bytes()) == (made, b"{")


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(8_000, id="rows"),
        pytest.param(200_000, id="chunk"),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_no_room_for_a_file_publishes_nothing_and_names_the_place(
    tmp_path: Path, parts: Path, fakes: list[FakeTake], size: int, before: bool
) -> None:
    there = []
    if before:
        there.append(publish_window(str(tmp_path), parts=parts, fakes=fakes, which=1, seed=None))
    with (
        file_size_limit(size),
        pytest.raises(StorageError, match=rf"{tmp_path}/versions/.* must .*: .*run again"),
    ):
        publish_window(str(tmp_path), parts=parts, fakes=fakes, which=0, seed=None)
    assert list_versions(tmp_path) == there
    assert child_names(tmp_path / "versions") == there
    assert list(list_tags(tmp_path).values()) == there
    version = publish_window(str(tmp_path), parts=parts, fakes=fakes, which=0, seed=None)
    assert find_digest_problems(tmp_path, version) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB; a version's chunks are 4096 rows whatever it holds: 1.1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if (
        sys.platform != "linux"
        or subprocess.run(command, check=False, capture_output=True).returncode
    ):
        pytest.skip("only root on Linux may mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_loses_nothing_of_what_was_there(
    small_disk: Path, parts: Path, fakes: list[FakeTake]
) -> None:
    published: list[str] = []

    def fill() -> None:
        for which in range(4):
            version = publish_window(
                str(small_disk), parts=parts, fakes=fakes, which=which, seed=None
            )
            published.append(version)

    with pytest.raises(StorageError, match=rf"{small_disk}/versions/.* must have room: free some"):
        fill()
    assert published
    assert list_versions(small_disk) == sorted(published)
    assert list_tags(small_disk) == {"latest": published[-1]}
    assert child_names(small_disk / "versions") == sorted(published)
    for version in published:
        assert find_digest_problems(small_disk, version) == []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back at once after a fault."""
    monkeypatch.setattr("schemas.faults._FIRST_WAIT_S", 0.001)
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([Fault(kind="500", every=11), Fault(kind="503", every=13)], id="errors"),
        pytest.param([Fault(kind="cut", every=6), Fault(kind="cut_after", every=9)], id="cuts"),
    ],
)
def test_faults_that_pass_change_nothing(
    s3_server: S3Server,
    s3_store: str,
    parts: Path,
    fakes: list[FakeTake],
    objects: tuple[str, tuple[ObjectEntry, ...]],
    faults: list[Fault],
) -> None:
    s3_server.fail(*faults)
    version = publish_window(s3_store, parts=parts, fakes=fakes, which=0, seed=0)
    assert min(s3_server.counts()["faults"].values()) > 1
    store = open_place(s3_store)
    assert find_digest_problems(store, version) == []
    s3_server.fail()
    assert (version, read_manifest(store, version).objects) == objects
    assert child_names(store / "versions") == [version]


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", ["/arrays.zarr/text/c/0/0", "/rows.arrow", "manifest.json"])
def test_object_store_that_stays_away_publishes_nothing(
    s3_server: S3Server, s3_store: str, parts: Path, fakes: list[FakeTake], path: str
) -> None:
    s3_server.fail(Fault(kind="503", methods=("PUT",), path=path.removeprefix("/rows")))
    with pytest.raises(
        StorageError, match=rf"{s3_store}/versions/.* must answer, got .* run again"
    ):
        publish_window(s3_store, parts=parts, fakes=fakes, which=0, seed=None)
    s3_server.fail()
    store = open_place(s3_store)
    assert (list_versions(store), list_tags(store)) == ([], {})
    assert not [name for name in child_names(store / "versions") if name.startswith(".")]
    version = publish_window(s3_store, parts=parts, fakes=fakes, which=0, seed=None)
    assert find_digest_problems(store, version) == []


def test_no_credential_is_in_any_file(
    tmp_path: Path, parts: Path, fakes: list[FakeTake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "never-to-be-seen")
    publish_window(str(tmp_path), parts=parts, fakes=fakes, which=0, seed=1)
    for folder, _, names in os.walk(tmp_path):
        for name in names:
            assert b"never-to-be-seen" not in (Path(folder) / name).read_bytes()
