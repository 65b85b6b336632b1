import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.config import PrepConfig, load_config
from pipelines.datasets import mirror as mirrors
from pipelines.datasets.base import DatasetReader
from pipelines.datasets.inventory import take_inventory
from pipelines.datasets.mirror import Mirror, ensure_file, file_size, held_files, open_mirror
from pipelines.datasets.registry import open_reader
from pipelines.parts.keys import find_file, read_source, take_path
from pipelines.storage.files import fetch
from pipelines.storage.places import Place, is_local, open_place
from pipelines.synthetic.registry import write_synthetic
from pipelines.take_parts import source_paths
from schemas.errors import StorageError, TakeError, UsageError
from tests.object_folders import put_folder
from tests.storage_server import Fault, S3Server

STAND_IN = b"primus: not fetched from the object store yet\n"


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"memory://mirror{tmp_path}"


@pytest.fixture
def far(uri: str) -> Place:
    """Two takes' files and a table, in memory."""
    place = open_place(uri)
    (place / "takes.json").write_bytes(b"[1, 2]")
    (place / "a" / "video.mp4").write_bytes(b"v" * 100)
    (place / "b" / "video.mp4").write_bytes(b"w" * 200)
    return place


@pytest.fixture
def mirror(far: Place, uri: str, tmp_path: Path) -> Iterator[Mirror]:
    root = tmp_path / "mirror" / "tree"
    mirror = open_mirror(uri, root=root)
    mirror.refresh(["*.json"])
    yield mirror
    del mirrors._MIRRORS[root]


def fetched(root: Path) -> dict[str, int]:
    """Return the files that hold data, and their bytes on the disk."""
    files = [p for p in root.rglob("*") if p.is_file() and p.read_bytes() != STAND_IN]
    return {p.relative_to(root).as_posix(): p.stat().st_size for p in files}


def make_config(name: str, root: str, tmp_path: Path) -> PrepConfig:
    given = {"dataset.name": name, "dataset.root": root, "store.uri": str(tmp_path / "store")}
    overrides = {**given, "execution.scratch": str(tmp_path / "scratch")}
    return load_config(None, overrides=overrides)


def open_dataset(config: PrepConfig) -> DatasetReader:
    return open_reader(config.dataset, imu=config.imu, video=config.video, text=config.text)


def test_metadata_is_there_and_the_rest_is_not_data(mirror: Mirror) -> None:
    assert fetched(mirror.root) == {"takes.json": 6}
    assert (mirror.root / "a" / "video.mp4").read_bytes() == STAND_IN
    assert file_size(mirror.root, mirror.root / "b" / "video.mp4") == 200


def test_file_is_fetched_when_its_path_is_asked_for_and_goes_with_the_take(mirror: Mirror) -> None:
    root = mirror.root
    with held_files(root):
        assert find_file(root, "a/video.mp4").read_bytes() == STAND_IN
        assert take_path(root, "a/video.mp4").read_bytes() == b"v" * 100
        assert fetched(root) == {"takes.json": 6, "a/video.mp4": 100}
    assert fetched(root) == {"takes.json": 6}


def test_file_goes_with_a_take_that_failed(mirror: Mirror) -> None:
    root = mirror.root

    def prepare() -> None:
        with held_files(root):
            assert take_path(root, "b/video.mp4").read_bytes() == b"w" * 200
            raise RuntimeError("decoder")

    with pytest.raises(RuntimeError, match="decoder"):
        prepare()
    assert fetched(root) == {"takes.json": 6}


def test_source_is_the_same_as_of_the_folder(mirror: Mirror, tmp_path: Path) -> None:
    (tmp_path / "local" / "a").mkdir(parents=True)
    (tmp_path / "local" / "a" / "video.mp4").write_bytes(b"v" * 100)
    with held_files(mirror.root):
        mirrored = read_source(mirror.root, "take", "a/video.mp4")
    assert mirrored == read_source(tmp_path / "local", "take", "a/video.mp4")


def test_file_in_use_elsewhere_stays(mirror: Mirror) -> None:
    code = (
        "import fcntl, sys; lock = open(sys.argv[1]); fcntl.flock(lock, fcntl.LOCK_SH)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with held_files(mirror.root):
        path = take_path(mirror.root, "a/video.mp4")
        lock = str(mirror._lock_path("a/video.mp4"))
        other = subprocess.Popen(
            [sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
    assert path.read_bytes() == b"v" * 100
    other.communicate()
    with held_files(mirror.root):
        ensure_file(mirror.root, path)
    assert path.read_bytes() == STAND_IN


def test_what_the_catalogue_asked_for_goes_if_it_is_large(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "_SMALL_BYTES", 150)
    take_path(mirror.root, "a/video.mp4")
    take_path(mirror.root, "b/video.mp4")
    mirror.release_loose()
    assert fetched(mirror.root) == {"takes.json": 6, "a/video.mp4": 100}


def test_refresh_sees_new_changed_and_removed_objects(mirror: Mirror, far: Place) -> None:
    (far / "takes.json").write_bytes(b"[1]")
    (far / "c.json").write_bytes(b"{}")
    (far / "a" / "video.mp4").unlink()
    mirror.refresh(["*.json"])
    assert (mirror.root / "takes.json").read_bytes() == b"[1]"
    assert fetched(mirror.root) == {"takes.json": 3, "c.json": 2}
    with pytest.raises(TakeError, match=r"file_missing: file must exist, got a/video.mp4"):
        take_path(mirror.root, "a/video.mp4")


def test_leftovers_of_a_killed_process_go(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "_SMALL_BYTES", 150)
    # As SIGKILL leaves them: fetched and not released, and half fetched.
    os.close(mirror.hold("b/video.mp4"))
    half = mirror._incoming / f"{mirror._lock_path('a/video.mp4').name}.1"
    half.write_bytes(b"v")
    mirror.refresh(["*.json"])
    assert fetched(mirror.root) == {"takes.json": 6}
    assert not half.exists()


def test_object_replaced_during_the_run_ends_it(mirror: Mirror, far: Place) -> None:
    (far / "a" / "video.mp4").write_bytes(b"x" * 100)
    with (
        pytest.raises(StorageError, match="must stay as it was when the run began"),
        held_files(mirror.root),
    ):
        take_path(mirror.root, "a/video.mp4")
    assert fetched(mirror.root) == {"takes.json": 6}


def test_object_removed_during_the_run_is_its_takes_fault(mirror: Mirror, far: Place) -> None:
    (far / "a" / "video.mp4").unlink()
    with pytest.raises(TakeError, match="file_missing"):
        take_path(mirror.root, "a/video.mp4")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a//x", "a/./x", "x\0"])
def test_name_that_leaves_the_mirror_is_refused(
    name: str, far: Place, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror(uri, root=tmp_path / "mirror" / "tree")
    prefix = mirror._place.path + "/"
    listing = {prefix + name: {"size": 1, "created": 1}}
    monkeypatch.setattr(type(mirror._place.fs), "find", lambda *_, **__: listing)
    with pytest.raises(UsageError, match="must have names that are relative paths"):
        mirror.refresh([])
    assert list((tmp_path / "mirror" / "tree").iterdir()) == []
    assert not (tmp_path / "x").exists()


def test_name_that_is_file_and_folder_is_refused(far: Place, uri: str, tmp_path: Path) -> None:
    mirror = Mirror(uri, root=tmp_path / "mirror" / "tree")
    real = mirror._list()
    mirror._list = lambda: {**real, "a": real["takes.json"]}  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="files or folders, got one that is both at 'a"):
        mirror.refresh([])


def test_nothing_there_is_said_with_the_uri(uri: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"must hold files, got none in {uri}"):
        open_dataset(make_config("egoexo4d", uri, tmp_path)).read_catalogue()


@pytest.mark.slow
def test_a_bucket_that_is_not_there_is_named_with_its_field(s3_store: str, tmp_path: Path) -> None:
    uri = f"{s3_store.rpartition('/')[0]}-none/data"
    said = r"-none/data must lie in a bucket that exists: .*\(dataset.root\)$"
    with pytest.raises(StorageError, match=said):
        open_dataset(make_config("egoexo4d", uri, tmp_path)).read_catalogue()


def test_a_bucket_that_went_while_fetching_is_named_with_its_field(
    s3_server: S3Server, tmp_path: Path
) -> None:
    place = open_place("s3://none-such/video.mp4")
    assert not is_local(place)
    said = r"video.mp4 must lie in a bucket that exists: .*\(dataset\.root\)$"
    with pytest.raises(StorageError, match=said):
        fetch(place, tmp_path / "copy", size=3, fields="dataset.root")


@pytest.mark.parametrize("at", ["fetch", "stand_in", "note"])
def test_a_full_scratch_disk_names_the_field_that_moves_it(
    at: str, mirror: Mirror, far: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    said = rf"^{mirror.root} must have room: .* \(execution\.scratch\), then run again$"
    if at == "fetch":
        monkeypatch.setattr(type(mirror._place.fs), "get_file", full)
        said = (
            rf"^the folder for temporary files {mirror.root.parent} must have room for a copy of "
            rf"{mirror.uri}/a/video.mp4: free some, or set execution\.scratch to another, then"
        )
    elif at == "note":
        monkeypatch.setattr(os, "pwrite", full)
    else:
        (far / "new" / "video.mp4").write_bytes(b"x")
        monkeypatch.setattr(Path, "mkdir", full)
        monkeypatch.setattr(mirrors, "_make_private", lambda folder: None)

    def use() -> None:
        if at == "stand_in":
            mirror.refresh(["*.json"])
        with held_files(mirror.root):
            take_path(mirror.root, "a/video.mp4")

    with pytest.raises(StorageError, match=said):
        use()
    assert fetched(mirror.root).keys() <= {"takes.json", "a/video.mp4"}
    assert list(mirror._incoming.iterdir()) == []


def test_faults_of_metadata_name_the_uri(far: Place, uri: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"takes.json entry 0.*{uri}") as told:
        open_dataset(make_config("egoexo4d", uri, tmp_path)).read_catalogue()
    assert "scratch" not in str(told.value)


def test_somebody_elses_folder_is_refused(uri: str, far: Place, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "mirror").symlink_to(tmp_path / "theirs")
    with pytest.raises(StorageError, match=r"of this user alone: set execution\.scratch"):
        Mirror(uri, root=tmp_path / "mirror" / "tree").refresh([])


def test_config_goes_to_a_worker_and_back(tmp_path: Path) -> None:
    config = make_config("egoexo4d", "s3://bucket/data", tmp_path)
    assert config.dataset.source == "s3://bucket/data"
    assert config.dataset.root.is_relative_to(tmp_path / "scratch")
    assert PrepConfig.model_validate_json(config.model_dump_json()) == config
    local = make_config("egoexo4d", "/data", tmp_path)
    assert local.dataset.source == "/data"
    # Where the bytes lie is no part of what they are.
    assert config.identity() == local.identity()


def test_credentials_in_the_root_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must hold no credentials") as told:
        make_config("egoexo4d", "s3://KEY:SECRET@bucket/data", tmp_path)
    assert "SECRET" not in str(told.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["egoexo4d", "ego4d", "realworld", "gopro", "folder"])
def test_every_reader_reads_the_same_from_there(name: str, tmp_path: Path) -> None:
    here = tmp_path / "here"
    write_synthetic(
        name,
        here,
        takes=2,
        seconds=8.0 if name == "gopro" else 3.0,
        seed=4,
        participants=1,
        full_size="none",
        faults=(),
        workers=1,
    )
    uri = f"memory://readers{tmp_path}"
    put_folder(here, uri)
    there = make_config(name, uri, tmp_path)
    local, far = open_dataset(make_config(name, str(here), tmp_path)), open_dataset(there)
    catalogue = local.read_catalogue()
    assert catalogue.takes
    assert far.read_catalogue() == catalogue
    root = there.dataset.root
    for take in catalogue.takes:
        # Catalogues of zips and of chapters with captions have to open them; small ones stay.
        opened = name in ("realworld", "gopro")
        assert opened or not set(source_paths(take)) & fetched(root).keys()
        with held_files(root):
            assert far.read_clock(take).span == local.read_clock(take).span
            for path in source_paths(take):
                mirrored = read_source(root, take.take_uid, path)
                assert mirrored == read_source(here, take.take_uid, path)
            assert sum(fetched(root).values()) > 0
        assert not set(source_paths(take)) & fetched(root).keys()
    mine = take_inventory(catalogue, dataset=name, root=root)
    assert mine == take_inventory(catalogue, dataset=name, root=here)


def test_cut_connections_while_fetching(s3_server: S3Server, s3_store: str, tmp_path: Path) -> None:
    place = open_place(s3_store)
    data = os.urandom(1 << 18)
    (place / "takes.csv").write_bytes(b"take_uid\n1\n")
    (place / "video.mp4").write_bytes(data)
    mirror = open_mirror(s3_store, root=tmp_path / "mirror" / "tree")
    s3_server.fail(Fault(kind="cut", every=2), Fault(kind="503", every=5))
    mirror.refresh(["takes.*"])
    with held_files(mirror.root):
        assert take_path(mirror.root, "video.mp4").read_bytes() == data
    assert s3_server.counts()["faults"]["cut"] >= 2
