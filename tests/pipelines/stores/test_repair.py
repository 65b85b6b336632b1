"""What parts can give is made again with its old digest, and nothing else is touched."""

import shutil
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from pipelines.parts.store import PartStore
from pipelines.storage.files import file_sha256
from pipelines.storage.places import open_place
from pipelines.stores.blueprint import blueprint_path, open_blueprint
from pipelines.stores.rebuild import Rebuilder, read_config
from pipelines.stores.repair import repair_version
from pipelines.stores.sealed import read_manifest
from pipelines.stores.verify import verify_version
from schemas.errors import StoreNotFoundError
from tests.factories import publish_small_version

OBJECTS = [
    "manifest.json",
    "run.json",
    "segments.parquet",
    "quarantine.parquet",
    "arrays.zarr/zarr.json",
    "arrays.zarr/imu/zarr.json",
    "arrays.zarr/imu/c/0/0/0",
    "arrays.zarr/video/c/1/0",
    "arrays.zarr/text/c/2/0",
    "arrays.zarr/valid/c/3/0",
]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Three takes of 8 rows in chunks of 7: chunks and takes do not meet."""
    store = tmp_path_factory.mktemp("repair") / "store"
    with pytest.MonkeyPatch.context() as patch:
        cut_small(patch)
        return store, publish_small_version(store, takes=3).version


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_small(monkeypatch)


def cut_small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("arrays", "array_files", "verify_arrays", "verify_manifest"):
        monkeypatch.setattr(f"pipelines.stores.{module}.ROWS_PER_CHUNK", 7)


@pytest.fixture
def damaged(master: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    # The parts are looked for where the run record says: in the folder copied from.
    shutil.copytree(master[0], tmp_path / "store")
    return tmp_path / "store", master[1]


def digests(store: Path, version: str) -> dict[str, str]:
    folder = store / "versions" / version
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


@pytest.mark.parametrize(
    ("name", "gone"),
    [
        *((name, False) for name in OBJECTS),
        *((name, True) for name in ("manifest.json", "run.json", "arrays.zarr/video/c/1/0")),
    ],
)
def test_each_object_is_healed_alone_to_the_same_bytes(
    damaged: tuple[Path, str], name: str, gone: bool
) -> None:
    store, version = damaged
    before = digests(store, version)
    path = store / "versions" / version / name
    others = {p: p.stat().st_mtime_ns for p in (store / "versions").rglob("*") if p.is_file()}
    if gone:
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    told = repair_version(store, version, parts_root=store / "parts", dry_run=True)
    assert ([one.object for one in told.healed], told.unhealed) == ([name], ())
    assert verify_version(store, version) != []
    report = repair_version(store, version, parts_root=store / "parts")
    assert ([one.object for one in report.healed], report.unhealed) == ([name], ())
    assert verify_version(store, version) == []
    assert digests(store, version) == before
    others.pop(path, None)
    assert {p: p.stat().st_mtime_ns for p in others} == others


def test_everything_at_once_is_healed(damaged: tuple[Path, str]) -> None:
    store, version = damaged
    before = digests(store, version)
    for name in before:
        (store / "versions" / version / name).write_bytes(b"")
    (store / "versions" / version / "arrays.zarr/imu/c/9").write_bytes(b"extra")
    seen: list[tuple[int, int]] = []
    report = repair_version(
        store, version, parts_root=store / "parts", progress=lambda *told: seen.append(told)
    )
    assert report.unhealed == ()
    assert {one.object: one.how for one in report.healed}["arrays.zarr/imu/c/9"] == "removed"
    assert seen[-1] == (len(before), len(before))
    assert verify_version(store, version) == []
    assert digests(store, version) == before


def test_a_part_that_is_gone_costs_only_its_own_chunks(damaged: tuple[Path, str]) -> None:
    store, version = damaged
    folder = store / "versions" / version / "arrays.zarr/imu/c"
    for number in range(4):
        (folder / f"{number}/0/0").unlink()
    # Rows 16 to 23 are the last take's: in chunks 2 and 3.
    with open_blueprint(store / "parts", version) as blueprint:
        key = [take.imu_key for take in blueprint.takes()][2]
    assert key is not None
    part = store / f"parts/imu/{key[:2]}/{key}.arrow"
    part.unlink()
    report = repair_version(store, version, parts_root=store / "parts")
    assert [one.object for one in report.healed] == [f"arrays.zarr/imu/c/{n}/0/0" for n in (0, 1)]
    assert [one.object for one in report.unhealed] == [f"arrays.zarr/imu/c/{n}/0/0" for n in (2, 3)]
    assert str(part) in report.unhealed[0].why
    assert "run `primus-prep run` again" in report.unhealed[0].remedy


def test_without_a_blueprint_only_what_the_manifest_tells_is_healed(
    damaged: tuple[Path, str],
) -> None:
    store, version = damaged
    blueprint_path(store / "parts", version).unlink()
    for name in ("arrays.zarr/imu/zarr.json", "segments.parquet", "arrays.zarr/imu/c/0/0/0"):
        (store / "versions" / version / name).unlink()
    report = repair_version(store, version, parts_root=store / "parts")
    assert [one.object for one in report.healed] == ["arrays.zarr/imu/zarr.json"]
    assert [one.object for one in report.unhealed] == [
        "segments.parquet",
        "arrays.zarr/imu/c/0/0/0",
    ]
    assert "blueprint must be there, got none in" in report.unhealed[0].why
    (store / "versions" / version / "manifest.json").unlink()
    report = repair_version(store, version, parts_root=store / "parts")
    assert [one.object for one in report.unhealed] == ["manifest.json"]
    assert "nothing else tells what it said" in report.unhealed[0].why


def test_what_does_not_prove_right_is_not_put_in_place(damaged: tuple[Path, str]) -> None:
    store, version = damaged
    path = store / "versions" / version / "arrays.zarr/imu/c/0/0/0"
    path.write_bytes(b"bad")
    with open_blueprint(store / "parts", version) as blueprint:
        one, other = [take.imu_key for take in blueprint.takes()][:2]
    assert one is not None
    assert other is not None
    parts = PartStore(store / "parts")
    table = parts.read_table("imu", other)
    parts.write(
        "imu",
        one,
        schema=table.schema,
        batches=table.to_batches(),
        metadata={"imu_stream": "imu-right", "imu_frame": "device"},
    )
    report = repair_version(store, version, parts_root=store / "parts")
    assert [one.object for one in report.unhealed] == ["arrays.zarr/imu/c/0/0/0"]
    assert "must have the digest in the manifest" in report.unhealed[0].why
    assert path.read_bytes() == b"bad"


def test_windows_resampled_one_by_one_are_made_again(tmp_path: Path) -> None:
    version = publish_small_version(tmp_path, takes=2, imu={"rate_hz": "10"}).version
    before = digests(tmp_path, version)
    with open_blueprint(tmp_path / "parts", version) as blueprint:
        given = {**blueprint.config, "imu": {**blueprint.config["imu"], "resampling": "window"}}
        config = read_config(
            replace(blueprint, config=given), store=tmp_path, parts_root=tmp_path / "parts"
        )
        made = tmp_path / "made"
        made.mkdir()
        rebuilder = Rebuilder(
            read_manifest(tmp_path, version), config=config, blueprint=blueprint, folder=made
        )
        # Without raw parts its windows are those of the grid; the way to them is the other one.
        folder = rebuilder.chunk(1, table=tmp_path / "unused")
        assert {
            path.relative_to(folder).as_posix(): file_sha256(path)
            for path in folder.rglob("c/**/*")
            if path.is_file()
        } == {name: digest for name, digest in before.items() if "/c/" in name}


def test_a_remote_version_is_healed_where_it_lies(damaged: tuple[Path, str]) -> None:
    store, version = damaged
    place = open_place(f"memory://repair-{uuid4().hex}")
    for path in (p for p in store.rglob("*") if p.is_file()):
        name = path.relative_to(store).as_posix()
        place.fs.pipe_file(f"{place.path}/{name}", path.read_bytes())
    folder = place / "versions" / version
    for name in ("segments.parquet", "run.json", "manifest.json", "arrays.zarr/video/c/1/0"):
        place.fs.pipe_file(f"{folder.path}/{name}", b"bad")
    place.fs.rm_file(f"{folder.path}/arrays.zarr/zarr.json")
    report = repair_version(place, version, parts_root=place / "parts")
    assert report.unhealed == ()
    assert len(report.healed) == 5
    assert verify_version(place, version) == []


def test_a_version_of_which_nothing_is_there_is_not_invented(damaged: tuple[Path, str]) -> None:
    store, version = damaged
    shutil.rmtree(store / "versions" / version)
    with pytest.raises(StoreNotFoundError, match=f"version {version} must exist, even if damaged"):
        repair_version(store, version)
