"""A disk that is really full: the run ends with its place and a remedy, and goes on once mended."""

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.prepare import RunSummary, prepare
from pipelines.parts.store import PartStore
from pipelines.stores.verify import verify_version
from schemas.errors import StorageError
from tests.integration.conftest import make_config
from tests.integration.kills import PREP, leftovers, started
from tests.object_folders import put_folder

pytestmark = pytest.mark.slow

ROOM = "64m"


class SmallDisk:
    """A file system of its own in memory, of a size that can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, size: str) -> None:
        remount = ["mount", "-o", f"remount,size={size}", str(self.folder)]
        subprocess.run(remount, check=True, capture_output=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def reference(
    small_dataset: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunSummary:
    store = tmp_path_factory.mktemp("reference") / "store"
    return prepare(make_config(small_dataset, encoder=tiny_encoder, store=store))


def bytes_under(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check_parts(parts: Path) -> int:
    """Every part there is whole; return how many takes have their frames."""
    store = PartStore(parts)
    for kind in ("imu", "frames", "text"):
        for path in parts.glob(f"{kind}/*/*.arrow"):
            store.check(kind, path.stem)
    return len(list(parts.glob("frames/*/*.arrow")))


def quarantined(parts: Path) -> list[Path]:
    return list(parts.glob("state/*.json"))


def test_parts_that_find_no_room_end_the_run(
    small_disk: SmallDisk, reference: RunSummary, small_dataset: Path, tiny_encoder: Path
) -> None:
    whole = bytes_under(Path(reference.store) / "parts")
    small_disk.resize(str(whole // 2))
    store = small_disk.folder / "store"
    config = make_config(small_dataset, encoder=tiny_encoder, store=store)
    with pytest.raises(
        StorageError, match=rf"^{store}/parts/\S+ must have room: free some.*then run again$"
    ):
        prepare(config)
    assert not (store / "versions").exists()
    assert leftovers(store) == []
    assert quarantined(store / "parts") == []
    there = check_parts(store / "parts")
    assert 1 <= there < 8
    small_disk.resize(ROOM)
    again = prepare(config)
    assert again.version == reference.version
    assert again.computed_parts["frames"] == 8 - there


def test_a_version_that_finds_no_room_is_not_published(
    small_disk: SmallDisk, reference: RunSummary, small_dataset: Path, tiny_encoder: Path
) -> None:
    store = small_disk.folder / "store"
    version = bytes_under(Path(reference.store) / "versions")
    small_disk.resize(str(version // 2))
    config = make_config(
        small_dataset, encoder=tiny_encoder, store=store, store__parts=f"{reference.store}/parts"
    )
    with pytest.raises(StorageError, match=rf"^{small_disk.folder}\S* must have room: free some"):
        prepare(config)
    assert not list(store.glob("versions/*/manifest.json"))
    assert not list(store.glob("refs/*"))
    assert leftovers(store) == []
    small_disk.resize(ROOM)
    again = prepare(config)
    assert (again.version, again.computed_takes) == (reference.version, 0)
    assert verify_version(store, again.version) == []


def test_a_copy_that_finds_no_room_names_its_own_place(
    small_disk: SmallDisk,
    reference: RunSummary,
    small_dataset: Path,
    tiny_encoder: Path,
    tmp_path: Path,
) -> None:
    uri = f"memory://scratch{tmp_path}"
    put_folder(small_dataset, uri)
    tables = sum(p.stat().st_size for p in small_dataset.rglob("*.json"))
    largest = max(p.stat().st_size for p in small_dataset.rglob("*") if p.is_file())
    assert largest > 128 << 10
    # Tables and stand-ins fit, a page each at least; no take's recordings do.
    stand_ins = 8192 * sum(1 for p in small_dataset.rglob("*"))
    small_disk.resize(str(2 * tables + 2 * stand_ins + largest // 2))
    config = make_config(
        small_dataset,
        encoder=tiny_encoder,
        store=tmp_path / "store",
        dataset__root=uri,
        execution__scratch=str(small_disk.folder),
    )
    said = (
        rf"^the folder for temporary files {small_disk.folder}/primus-mirror-\w+ must have room "
        rf"for a copy of {uri}/\S+: free some, or set execution\.scratch to another, then run"
    )
    with pytest.raises(StorageError, match=said):
        prepare(config)
    assert quarantined(tmp_path / "store" / "parts") == []
    small_disk.resize(ROOM)
    assert prepare(config).version == reference.version


def test_a_limit_on_file_sizes_is_met_the_same_way(
    reference: RunSummary, small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    largest = max(p.stat().st_size for p in Path(reference.store).glob("parts/frames/*/*.arrow"))
    config = make_config(small_dataset, encoder=tiny_encoder, store=tmp_path / "store")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, hard))
    try:
        with pytest.raises(StorageError, match=r"files of this size: raise the limit \(ulimit -f"):
            prepare(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert leftovers(tmp_path / "store") == []
    assert quarantined(tmp_path / "store" / "parts") == []
    assert prepare(config).version == reference.version


@pytest.mark.long
@pytest.mark.parametrize("executor", ["inline", "threads", "dask"])
def test_every_executor_says_so_in_one_sentence(
    executor: str,
    small_disk: SmallDisk,
    reference: RunSummary,
    small_dataset: Path,
    tiny_encoder: Path,
    tmp_path: Path,
) -> None:
    whole = bytes_under(Path(reference.store) / "parts")
    small_disk.resize(str(whole // 2))
    store, folder = small_disk.folder / "store", tmp_path / "run"
    words = [
        *PREP, "run", "--dataset", "egoexo4d", "--root", str(small_dataset),
        "--encoder", str(tiny_encoder), "--store", str(store), "--executor", executor,
        "--workers", "2", "--set", "execution.batch_takes=1", "--json",
        "--set", "splits.shares=[0.5, 0.0, 0.5]", "--set", "encoder.precision=float32",
    ]  # fmt: skip
    with started(words, folder=folder) as process:
        assert process.wait(timeout=300) == 1
    assert (folder / "out.txt").read_bytes() == b""
    said = (folder / "err.txt").read_text().splitlines()
    assert said[-1].startswith(f"primus-prep: {store}/parts/")
    assert "must have room: free some" in said[-1]
    assert not [line for line in said if "Traceback" in line]
    assert not list(store.glob("versions/*"))
    assert leftovers(store) == []
    assert quarantined(store / "parts") == []
    small_disk.resize(ROOM)
    with started(words, folder=folder) as process:
        assert process.wait(timeout=300) == 0
    assert reference.version in (folder / "out.txt").read_text()
