import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from upath import UPath

from primus_train.data.fetch import cache_root
from primus_train.data.places import open_root
from primus_train.data.store import open_store
from primus_train.data.version import identify_store, read_manifest
from schemas.errors import StorageError, StoreDamagedError, StoreNotFoundError
from tests.storage_server import Fault, S3Server

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def toy_store(
    tmp_path_factory: pytest.TempPathFactory,
    store_writer: Callable[..., str],
    mask_writer: Callable[..., None],
) -> Path:
    """As everywhere, but of short windows: chunks are as long as ever, and are sent about."""
    root = tmp_path_factory.mktemp("stores") / "toy"
    version = store_writer(root, samples=5)
    mask_writer(root, version, name="half", hidden=lambda i: i % 2 == 1)
    mask_writer(root, version, name="allhidden", hidden=lambda _: True)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("PRIMUS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)


def put(root: Path, uri: str) -> str:
    place = open_root(uri)
    assert isinstance(place, UPath)
    place.fs.put(f"{root}/", f"{place.path}/", recursive=True)
    return uri


@pytest.fixture
def remote(toy_store: Path, tmp_path: Path) -> str:
    """The toy store in memory."""
    return put(toy_store, f"memory://{tmp_path.name}/store")


def version_of(store: Path) -> str:
    version: str = json.loads((store / "refs" / "latest.json").read_text())["version"]
    return version


def objects_of(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def no_reads(monkeypatch: pytest.MonkeyPatch, place: UPath) -> None:
    def never(*_: Any, **__: Any) -> None:
        pytest.fail("what is in the cache is not fetched")

    monkeypatch.setattr(type(place.fs), "get_file", never)


def test_a_remote_version_is_the_local_one_and_is_fetched_once(
    toy_store: Path, remote: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = version_of(toy_store)
    told: list[tuple[int, int]] = []
    here = open_store(str(toy_store), mask="half")
    there = open_store(f"{remote}@latest", mask="half", on_fetch=lambda *n: told.append(n))
    for name in ("imu", "video", "text", "valid"):
        assert torch.equal(getattr(there, name), getattr(here, name)), name
    assert there.table.equals(here.table)
    assert (there.version, there.mask, there.manifest) == (here.version, here.mask, here.manifest)
    kept = objects_of(cache / "stores" / "versions" / version)
    assert kept == objects_of(toy_store / "versions" / version)
    total = sum(entry.size for entry in here.manifest.objects)
    assert [n for n, _ in told] == sorted(n for n, _ in told)
    assert told[-1] == (total, total)
    assert len(told) == len(here.manifest.objects)
    no_reads(monkeypatch, UPath(remote))
    again = open_store(remote, mask="half", on_fetch=lambda *_: pytest.fail("nothing to fetch"))
    assert torch.equal(again.imu[:], here.imu[:])


def test_the_cache_is_a_store_that_opens_by_itself(toy_store: Path, remote: str) -> None:
    version = open_store(remote).version
    assert open_store(f"{cache_root() / 'stores'}@{version}").version == version


def test_a_version_named_by_its_id_needs_no_store_once_it_is_here(
    remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = open_store(remote).version
    place = UPath(remote)
    place.fs.rm(place.path, recursive=True)
    assert identify_store(f"{remote}@{version}").version == version
    assert len(open_store(f"{remote}@{version}")) == 48
    with pytest.raises(StoreNotFoundError, match=r"no tag 'latest'; tags: none; versions: none"):
        open_store(remote)


@pytest.mark.parametrize("change", ["flipped", "cut", "gone"])
@pytest.mark.parametrize("name", ["arrays.zarr/imu/c/0/0/0", "segments.parquet", "manifest.json"])
def test_a_copy_altered_here_is_fetched_again(
    toy_store: Path, remote: str, cache: Path, name: str, change: str
) -> None:
    version = open_store(remote).version
    path = cache / "stores" / "versions" / version / name
    whole = path.read_bytes()
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:] if change == "flipped" else whole[:-1])
    opened = open_store(remote)
    assert torch.equal(opened.imu[:], open_store(str(toy_store)).imu[:])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("change", ["flipped", "cut", "longer", "gone"])
def test_an_object_altered_there_is_never_used(
    toy_store: Path, remote: str, cache: Path, change: str, no_waiting: None
) -> None:
    place = UPath(remote) / "versions" / version_of(toy_store) / "arrays.zarr/video/c/0/0"
    whole = place.read_bytes()
    place.unlink()
    if change != "gone":
        flipped = bytes([whole[0] ^ 1]) + whole[1:]
        place.write_bytes({"flipped": flipped, "cut": whole[:-1], "longer": whole + b"x"}[change])
    message = {
        "flipped": r"must have SHA-256 .*, got .* at every attempt",
        "cut": f"must have {len(whole)} bytes, got {len(whole) - 1}",
        "longer": f"must have {len(whole)} bytes, got {len(whole) + 1}",
        "gone": "object must exist, none found",
    }[change]
    with pytest.raises(StoreDamagedError, match=rf"{message}.*video/c/0/0"):
        open_store(remote)
    folder = cache / "stores" / "versions" / place.parts[-6]
    left = objects_of(folder)
    assert "manifest.json" not in left
    assert "arrays.zarr/video/c/0/0" not in left
    assert not [name for name in left if name.endswith(".tmp")]


def test_a_tag_cannot_lead_out_of_the_store(remote: str) -> None:
    (UPath(remote) / "refs" / "latest.json").write_text('{"version": "../../elsewhere"}')
    with pytest.raises(StoreDamagedError, match=r"tag must name a version id, got '\.\./"):
        identify_store(remote)


def test_a_full_cache_is_said_before_anything_is_fetched(
    remote: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10}))
    no_reads(monkeypatch, UPath(remote))
    with pytest.raises(StorageError, match=r"must have room for \d+ bytes, got 10.*PRIMUS_CACHE"):
        open_store(remote)


def test_a_mask_altered_there_is_never_used(toy_store: Path, remote: str, no_waiting: None) -> None:
    version = version_of(toy_store)
    place = UPath(remote) / "masks" / version / "half.parquet"
    place.write_bytes(place.read_bytes()[::-1])
    with pytest.raises(StoreDamagedError, match=r"must have SHA-256 .* at every attempt"):
        open_store(remote, mask="half")
    with pytest.raises(StoreNotFoundError, match=r"no mask 'nope'; masks: allhidden, half"):
        open_store(remote, mask="nope")


def test_masks_of_one_name_from_two_stores_are_not_mixed(
    toy_store: Path, remote: str, mask_writer: Callable[..., None], tmp_path: Path
) -> None:
    import shutil

    version = version_of(toy_store)
    shutil.copytree(toy_store, tmp_path / "other")
    mask_writer(tmp_path / "other", version, name="half", hidden=lambda i: i % 3 == 0)
    other = put(tmp_path / "other", f"memory://{tmp_path.name}/other")
    for uri, hidden in ((remote, lambda i: i % 2 == 1), (other, lambda i: i % 3 == 0)):
        shown = open_store(uri, mask="half").valid[:, 1].tolist()
        assert shown == [not hidden(i) for i in range(48)]


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_root() == tmp_path / "cache"
    monkeypatch.delenv("PRIMUS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_root() == Path("/xdg/primus")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_root() == Path("/home/me/.cache/primus")


FETCH = """
import sys
from primus_train.data.fetch import fetch_version
from primus_train.data.places import open_root
from primus_train.data.version import identify_store, read_manifest
uri, = sys.argv[1:]
root, version = open_root(uri), identify_store(uri).version
fetch_version(root, version, manifest=read_manifest(root, version),
              on_fetch=lambda done, total: print(done, total, flush=True))
"""


def start_fetch(uri: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, uri],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=dict(os.environ),
    )


@pytest.mark.slow
def test_a_server_that_fails_now_and_then_changes_no_byte(
    toy_store: Path, s3_server: S3Server, s3_store: str, cache: Path
) -> None:
    put(toy_store, s3_store)
    s3_server.fail(
        Fault(kind="500", every=5),
        Fault(kind="503", every=7),
        Fault(kind="cut", every=4, methods=("GET",), path="/c/"),
        Fault(kind="short", every=3, methods=("GET",), path="/c/"),
    )
    opened = open_store(s3_store, mask="half")
    assert set(s3_server.counts()["faults"]) == {"500", "503", "cut", "short"}
    version = version_of(toy_store)
    kept = objects_of(cache / "stores" / "versions" / version)
    assert kept == objects_of(toy_store / "versions" / version)
    assert torch.equal(opened.valid, open_store(str(toy_store), mask="half").valid)


@pytest.mark.slow
def test_a_server_that_keeps_lying_is_told_of_and_credentials_are_not(
    toy_store: Path, s3_server: S3Server, s3_store: str, cache: Path, no_waiting: None
) -> None:
    put(toy_store, s3_store)
    s3_server.fail(Fault(kind="short", methods=("GET",), path="imu/c/"))
    # Where the server gives a checksum, the library compares that first.
    message = r"s3://.*imu/c/0/0/0 must answer, got FlexibleChecksumError|bytes, got .*imu/c/0/0/0"
    with pytest.raises((StoreDamagedError, StorageError), match=message) as raised:
        open_store(s3_store)
    assert s3_server.secret_key not in str(raised.value)
    folder = cache / "stores" / "versions" / version_of(toy_store)
    assert not (folder / "manifest.json").exists()
    assert not (folder / "arrays.zarr/imu/c/0/0/0").exists()


@pytest.mark.slow
def test_several_processes_fetch_each_object_once(
    toy_store: Path, s3_server: S3Server, s3_store: str, cache: Path
) -> None:
    put(toy_store, s3_store)
    manifest = read_manifest(toy_store, version_of(toy_store))
    s3_server.fail(Fault(kind="delay", delay_s=0.2, methods=("GET",), path="/c/"))
    began = [start_fetch(s3_store) for _ in range(2)]
    told = [process.communicate(timeout=120) for process in began]
    assert [p.returncode for p in began] == [0, 0], told
    assert sum(len(out.splitlines()) for out, _ in told) == len(manifest.objects)
    s3_server.fail()
    assert len(open_store(s3_store)) == 48


@pytest.mark.slow
def test_a_fetch_that_was_killed_goes_on_where_it_stopped(
    toy_store: Path, s3_server: S3Server, s3_store: str, cache: Path
) -> None:
    put(toy_store, s3_store)
    version = version_of(toy_store)
    manifest = read_manifest(toy_store, version)
    s3_server.fail(Fault(kind="delay", delay_s=60, methods=("GET",), path="imu/c/"))
    process = start_fetch(s3_store)
    try:
        assert process.stdout is not None
        for _ in range(len(manifest.objects) - 1):
            assert process.stdout.readline()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    folder = cache / "stores" / "versions" / version
    assert not (folder / "manifest.json").exists()
    s3_server.fail()
    (folder / "arrays.zarr/imu/c/0/0/.0.killed.tmp").parent.mkdir(parents=True, exist_ok=True)
    (folder / "arrays.zarr/imu/c/0/0/.0.killed.tmp").write_bytes(b"half")
    told: list[int] = []
    began = time.monotonic()
    opened = open_store(s3_store, on_fetch=lambda done, _: told.append(done))
    assert time.monotonic() - began < 60  # the dead process' turn is over
    assert len(told) == 1
    assert torch.equal(opened.imu[:], open_store(str(toy_store)).imu[:])
    assert not list(folder.rglob("*.tmp"))
