"""Injected damage is found and its object named, also where every digest was made to fit again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.storage.files import file_sha256
from pipelines.stores.masks import write_mask
from pipelines.stores.sealed import read_run_record, seal_run_record
from pipelines.stores.verify import verify_version
from schemas.mask import MaskSpec
from schemas.store import canonical_json, sha256_hex, version_id
from tests.factories import publish_small_version

Damage = Callable[[Path], None]
"""Given the store; the version is the only one there."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    cut_small(monkeypatch)


def cut_small(patch: pytest.MonkeyPatch) -> None:
    for module in ("arrays", "array_files", "verify_arrays", "verify_manifest"):
        patch.setattr(f"pipelines.stores.{module}.ROWS_PER_CHUNK", 7)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three takes of eight rows in chunks of seven, with a mask."""
    store = tmp_path_factory.mktemp("damage") / "store"
    with pytest.MonkeyPatch.context() as patch:
        cut_small(patch)
        spec = MaskSpec(name="half", keep=0.5, seed=1)
        publish_small_version(store, takes=3, masks=[spec])
    return store


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "store")
    return tmp_path / "store"


def version_of(store: Path) -> Path:
    (folder,) = (store / "versions").iterdir()
    return folder


def found(store: Path) -> set[tuple[str, str]]:
    problems = verify_version(store, version_of(store).name)
    return {(p.loc.replace(version_of(store).name, "ID"), p.kind) for p in problems}


def edit_manifest(store: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = version_of(store) / "manifest.json"
    manifest = json.loads(path.read_bytes())
    change(manifest)
    path.write_bytes(canonical_json(manifest))


def reseal(store: Path) -> None:
    """Make every digest, the id, run record, masks and tags fit what is there now."""
    folder = version_of(store)

    def seal(manifest: dict[str, Any]) -> None:
        for entry in manifest["objects"]:
            path = folder / entry["path"]
            entry.update(size=path.stat().st_size, sha256=file_sha256(path))

    edit_manifest(store, seal)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    before, version = folder.name, version_id(manifest)
    given = {"version": version, "manifest_sha256": sha256_hex(canonical_json(manifest))}
    record = seal_run_record(read_run_record(store, before).model_copy(update=given))
    (folder / "run.json").write_bytes(canonical_json(record.model_dump(mode="json")))
    folder.rename(folder.with_name(version))
    (store / "masks" / before).rename(store / "masks" / version)
    path = store / f"masks/{version}/half.json"
    path.write_bytes(path.read_bytes().replace(before.encode(), version.encode()))
    (store / "refs/latest.json").write_bytes(canonical_json({"version": version}))


def flip(name: str) -> Damage:
    def damage(store: Path) -> None:
        path = version_of(store) / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    return damage


def cut(name: str) -> Damage:
    def damage(store: Path) -> None:
        path = version_of(store) / name
        path.write_bytes(path.read_bytes()[:-1])

    return damage


def resealed(change: Damage) -> Damage:
    def damage(store: Path) -> None:
        change(store)
        reseal(store)

    return damage


def rows(change: Callable[[pa.Table], pa.Table]) -> Damage:
    def damage(store: Path) -> None:
        path = version_of(store) / "segments.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return damage


def with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), [values])


def first(name: str, value: object) -> Damage:
    def change(table: pa.Table) -> pa.Table:
        return with_column(table, name, [value, *table[name].to_pylist()[1:]])

    return rows(change)


def swap(name: str, one: int, other: int) -> Damage:
    def damage(store: Path) -> None:
        array = version_of(store) / "arrays.zarr" / name / "c"
        (array / str(one)).rename(array / "x")
        (array / str(other)).rename(array / str(one))
        (array / "x").rename(array / str(other))

    return damage


def metadata(name: str, old: bytes, new: bytes) -> Damage:
    def damage(store: Path) -> None:
        path = version_of(store) / "arrays.zarr" / name / "zarr.json"
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))

    return damage


def counts(**given: Any) -> Damage:
    return lambda store: edit_manifest(store, lambda m: m["counts"].update(given))


def drop_chunk(store: Path) -> None:
    (version_of(store) / "arrays.zarr/text/c/1/0").unlink()
    edit_manifest(
        store,
        lambda m: m.update(
            objects=[e for e in m["objects"] if e["path"] != "arrays.zarr/text/c/1/0"]
        ),
    )


def edit_quality(store: Path) -> None:
    edit_manifest(store, lambda m: m["quality"]["imu_gap_ns"].update(max=1.0))


def edit_run(store: Path) -> None:
    path = version_of(store) / "run.json"
    path.write_bytes(path.read_bytes().replace(b'"inline"', b'"dasker"'))


def reseal_run(store: Path) -> None:
    """A run record with a right digest of its own, but of another manifest."""
    record = read_run_record(store, version_of(store).name)
    other = seal_run_record(record.model_copy(update={"manifest_sha256": "0" * 64}))
    data = canonical_json(other.model_dump(mode="json"))
    (version_of(store) / "run.json").write_bytes(data)


def mask(change: Callable[[pa.Table], pa.Table], *, seal: bool) -> Damage:
    def damage(store: Path) -> None:
        folder = store / "masks" / version_of(store).name
        table = pq.read_table(folder / "half.parquet")
        pq.write_table(change(table), folder / "half.parquet")
        if seal:
            record = json.loads((folder / "half.json").read_bytes())
            record["sha256"] = file_sha256(folder / "half.parquet")
            (folder / "half.json").write_bytes(canonical_json(record))

    return damage


def one_less(table: pa.Table) -> pa.Table:
    return table.slice(1)


def show_all(table: pa.Table) -> pa.Table:
    for name in ("keep_video", "keep_text"):
        table = with_column(table, name, [True] * len(table))
    return table


def point_nowhere(store: Path) -> None:
    (store / "refs/old.json").write_bytes(canonical_json({"version": "0" * 16}))


def add_file(store: Path) -> None:
    (version_of(store) / "arrays.zarr/notes.txt").write_text("hello")


TABLE, MANIFEST, RUN = "segments.parquet", "manifest.json", "run.json"
MASK = "masks/ID/half.parquet"
IMU, VIDEO, TEXT, VALID = (f"arrays.zarr/{n}" for n in ("imu", "video", "text", "valid"))

DAMAGE: dict[str, tuple[Damage, str, str]] = {
    "flipped_table": (flip(TABLE), TABLE, "altered"),
    "flipped_quarantine": (flip("quarantine.parquet"), "quarantine.parquet", "altered"),
    "flipped_imu": (flip(f"{IMU}/c/1/0/0"), f"{IMU}/c/1/0/0", "altered"),
    "flipped_video": (flip(f"{VIDEO}/c/2/0"), f"{VIDEO}/c/2/0", "altered"),
    "flipped_text": (flip(f"{TEXT}/c/0/0"), f"{TEXT}/c/0/0", "altered"),
    "flipped_valid": (flip(f"{VALID}/c/0/0"), f"{VALID}/c/0/0", "altered"),
    "flipped_metadata": (flip(f"{IMU}/zarr.json"), f"{IMU}/zarr.json", "altered"),
    "flipped_manifest": (flip(MANIFEST), MANIFEST, "altered"),
    "cut_chunk": (cut(f"{VIDEO}/c/1/0"), f"{VIDEO}/c/1/0", "altered"),
    "cut_table": (cut(TABLE), TABLE, "altered"),
    "extra_file": (add_file, "arrays.zarr/notes.txt", "extra"),
    "edited_run": (edit_run, RUN, "altered"),
    "run_of_another_manifest": (reseal_run, RUN, "altered"),
    "edited_manifest": (counts(planned=25), MANIFEST, "altered"),
    "resealed_counts": (resealed(counts(planned=25)), MANIFEST, "counts"),
    "resealed_splits": (resealed(counts(splits={"train": 23})), MANIFEST, "counts"),
    "resealed_labels": (resealed(counts(labels={"x": 24})), MANIFEST, "counts"),
    "resealed_quality": (resealed(edit_quality), MANIFEST, "quality"),
    "resealed_missing_chunk": (resealed(drop_chunk), f"{TEXT}/c/1/0", "missing"),
    "resealed_row_removed": (resealed(rows(one_less)), TABLE, "counts"),
    "resealed_rows_swapped": (
        resealed(rows(lambda t: t.take([1, 0, *range(2, len(t))]))),
        TABLE,
        "order",
    ),
    "resealed_row_twice": (
        resealed(rows(lambda t: t.take([0, 0, *range(2, len(t))]))),
        TABLE,
        "repeat",
    ),
    "resealed_sentence": (resealed(first("text_raw", "C sleeps.")), TABLE, "segment_id"),
    "resealed_schema_note": (
        resealed(rows(lambda t: t.replace_schema_metadata({"format_version": "1"}))),
        TABLE,
        "schema",
    ),
    "resealed_flag": (resealed(first("has_text", value=False)), VALID, "has_text"),
    "resealed_swapped_imu": (resealed(swap("imu", 0, 1)), IMU, "repeated_rows"),
    "resealed_swapped_text": (resealed(swap("text", 0, 2)), TEXT, "repeated_rows"),
    "resealed_fill_value": (
        resealed(metadata("imu", b'"NaN"', b"0.0")),
        f"{IMU}/zarr.json",
        "layout",
    ),
    "resealed_byte_order": (
        resealed(metadata("video", b'"little"', b'"big"')),
        f"{VIDEO}/zarr.json",
        "layout",
    ),
    "resealed_rate": (
        resealed(metadata("imu", b'"rate_hz": "10"', b'"rate_hz": "20"')),
        f"{IMU}/zarr.json",
        "layout",
    ),
    "mask_row_removed": (mask(one_less, seal=False), MASK, "altered"),
    "resealed_mask_row_removed": (mask(one_less, seal=True), MASK, "rows"),
    "resealed_mask_shows_all": (mask(show_all, seal=True), MASK, "counts"),
    "tag_of_nothing": (point_nowhere, "refs/old.json", "missing"),
}


def test_what_is_sound_stays_sound_when_it_is_sealed_again(store: Path) -> None:
    assert found(store) == set()
    reseal(store)
    assert found(store) == set()


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_its_object_named(store: Path, name: str) -> None:
    damage, loc, kind = DAMAGE[name]
    damage(store)
    assert (loc, kind) in found(store)


def test_a_mask_drawn_anew_is_sound(store: Path) -> None:
    write_mask(store, version_of(store).name, spec=MaskSpec(name="tenth", keep=0.1))
    assert found(store) == set()
