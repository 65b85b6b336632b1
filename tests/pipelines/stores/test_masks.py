from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.stores.masks import (
    draw_units,
    list_masks,
    read_mask_record,
    unit_hash,
    write_mask,
)
from schemas.errors import StoreDamagedError, StoreNotFoundError, UsageError
from schemas.mask import MASK_SCHEMA, MaskRecord, MaskSpec
from tests.factories import publish_small_version


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    store = tmp_path_factory.mktemp("store")
    return store, publish_small_version(store, takes=10, segments=20).version


def spec(name: str = "m", **fields: Any) -> MaskSpec:
    return MaskSpec(name=name, **{"keep": 0.3, **fields})


def read(store: Path, version: str, name: str) -> pl.DataFrame:
    mask = pl.DataFrame(pq.read_table(store / f"masks/{version}/{name}.parquet"))
    rows = pl.DataFrame(pq.read_table(store / f"versions/{version}/segments.parquet"))
    assert mask["segment_id"].equals(rows["segment_id"])
    return rows.with_columns(mask.drop("segment_id"))


def test_hash_is_the_published_one() -> None:
    assert unit_hash("take-a", seed=7) == int(sha256(b'[7,"take-a"]').hexdigest()[:16], 16)


def test_kept_share_is_near_keep_and_nested_and_independent_of_other_units() -> None:
    units: dict[str, str | None] = {f"u{i}": None for i in range(4000)}
    kept = [draw_units(units, spec=spec(keep=k)) for k in (0.0, 0.1, 0.5, 1.0)]
    assert kept[0] < kept[1] < kept[2] < kept[3]
    assert kept[0] == set()
    assert kept[3] == set(units)
    # Three standard deviations of a binomial share.
    assert len(kept[1]) / 4000 == pytest.approx(0.1, abs=0.015)
    fewer = dict.fromkeys(list(units)[::3])
    assert draw_units(fewer, spec=spec(keep=0.1)) == kept[1] & set(fewer)
    assert draw_units(units, spec=spec(keep=0.5, seed=1)) != kept[2]


def test_exact_takes_the_smallest_hashes_of_each_label() -> None:
    units: dict[str, str | None] = {f"u{i}": ("a" if i % 4 else None) for i in range(101)}
    kept = [draw_units(units, spec=spec(keep=k, exact=True)) for k in (0.1, 0.33, 0.9)]
    assert kept[0] < kept[1] < kept[2]
    for label, n in ((None, 26), ("a", 75)):
        of_label = sorted(
            (u for u in units if units[u] == label), key=lambda u: unit_hash(u, seed=0)
        )
        assert len(of_label) == n
        assert kept[1] & set(of_label) == set(of_label[: int(0.33 * n + 0.5)])


def test_table_follows_the_draw_and_only_train_rows_hide(published: tuple[Path, str]) -> None:
    store, version = published
    record = write_mask(store, version, spec=spec("seg"))
    rows = read(store, version, "seg")
    assert pq.read_schema(store / f"masks/{version}/seg.parquet").equals(MASK_SCHEMA)
    for row in rows.iter_rows(named=True):
        shown = row["split"] != "train" or unit_hash(row["segment_id"], seed=0) < 0.3 * 2**64
        assert (row["keep_imu"], row["keep_video"], row["keep_text"]) == (True, shown, shown)
    train = rows.filter(pl.col("split") == "train")
    assert record.rows == record.units == train.height == 120
    assert record.kept_rows == record.kept_units == train["keep_video"].sum()
    assert 0 < record.kept_rows < record.rows


@pytest.mark.parametrize(("unit", "column"), [("take", "take_uid"), ("participant", "participant")])
def test_larger_units_stand_together(published: tuple[Path, str], unit: str, column: str) -> None:
    store, version = published
    record = write_mask(store, version, spec=spec(unit, unit=unit, keep=0.5, seed=3))
    train = read(store, version, unit).filter(pl.col("split") == "train")
    shown = train.group_by(column).agg(pl.col("keep_video").n_unique(), pl.col("keep_text").first())
    assert shown["keep_video"].to_list() == [1] * 6
    assert record.units == 6
    assert record.kept_units == shown["keep_text"].sum()
    assert record.kept_rows == 20 * record.kept_units
    assert 0 < record.kept_units < 6


def test_only_listed_modalities_hide(published: tuple[Path, str]) -> None:
    store, version = published
    write_mask(store, version, spec=spec("text", modalities=("text",), keep=0))
    rows = read(store, version, "text")
    assert rows["keep_video"].all()
    assert rows["keep_text"].to_list() == (rows["split"] != "train").to_list()


def test_same_recipe_again_changes_nothing(published: tuple[Path, str]) -> None:
    store, version = published
    record = write_mask(store, version, spec=spec("twice"))
    paths = [store / f"masks/{version}/twice.{s}" for s in ("parquet", "json")]
    before = [(p.stat().st_mtime_ns, p.read_bytes()) for p in paths]
    assert write_mask(store, version, spec=spec("twice")) == record
    assert [(p.stat().st_mtime_ns, p.read_bytes()) for p in paths] == before
    assert record.sha256 == sha256(paths[0].read_bytes()).hexdigest()
    # A damaged table is written again, to the same bytes.
    paths[0].write_bytes(b"x")
    assert write_mask(store, version, spec=spec("twice")) == record
    assert paths[0].read_bytes() == before[0][1]


@pytest.mark.parametrize(
    "other", [{"keep": 0.31}, {"seed": 1}, {"unit": "take"}, {"modalities": ("text",)},
              {"exact": True}]
)  # fmt: skip
def test_name_cannot_take_another_recipe(
    published: tuple[Path, str], other: dict[str, Any]
) -> None:
    store, version = published
    write_mask(store, version, spec=spec("taken"))
    with pytest.raises(UsageError, match="mask taken must keep its recipe"):
        write_mask(store, version, spec=spec("taken", **other))
    assert read_mask_record(store, version, "taken").spec == spec("taken")


def test_masks_are_listed_and_a_missing_one_names_them(tmp_path: Path) -> None:
    version = publish_small_version(tmp_path, takes=2, masks=[spec("one"), spec("two")]).version
    assert list_masks(tmp_path, version) == ["one", "two"]
    with pytest.raises(
        StoreNotFoundError, match=f"three must exist, version {version} has one, two"
    ):
        read_mask_record(tmp_path, version, "three")
    (tmp_path / f"masks/{version}/one.json").write_text("{}")
    with pytest.raises(StoreDamagedError, match="must follow its schema"):
        read_mask_record(tmp_path, version, "one")


def test_version_is_untouched_by_masks(published: tuple[Path, str]) -> None:
    store, version = published
    folder = store / "versions" / version
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    write_mask(store, version, spec=spec("another"))
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_mask_needs_a_version_and_train_rows(tmp_path: Path) -> None:
    version = publish_small_version(tmp_path, takes=1).version
    with pytest.raises(StoreNotFoundError, match=r"version 0{16} must exist"):
        write_mask(tmp_path, "0" * 16, spec=spec())
    table = pq.read_table(tmp_path / f"versions/{version}/segments.parquet")
    at = table.schema.get_field_index("split")
    test_only = table.set_column(at, "split", [np.full(len(table), "test").tolist()])
    pq.write_table(test_only, tmp_path / f"versions/{version}/segments.parquet")
    with pytest.raises(UsageError, match="needs rows of the train split, got none"):
        write_mask(tmp_path, version, spec=spec())


def test_mask_needs_something_to_hide(tmp_path: Path) -> None:
    version = publish_small_version(tmp_path, takes=3).version
    path = tmp_path / f"versions/{version}/segments.parquet"
    table = pq.read_table(path)
    without = pl.DataFrame(table).with_columns(has_video=pl.lit(value=False)).to_arrow()
    pq.write_table(without.cast(table.schema), path)
    with pytest.raises(UsageError, match=r"mask m needs train rows with video, got none"):
        write_mask(tmp_path, version, spec=spec(modalities=("video",)))
    assert not (tmp_path / "masks").exists()
    assert write_mask(tmp_path, version, spec=spec()).rows > 0


def test_rows_of_unknown_participants_stand_with_their_take(tmp_path: Path) -> None:
    version = publish_small_version(tmp_path, takes=3).version
    path = tmp_path / f"versions/{version}/segments.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("participant")
    pq.write_table(
        table.set_column(at, table.schema.field(at), pa.nulls(len(table), pa.string())), path
    )
    record: MaskRecord = write_mask(tmp_path, version, spec=spec(unit="participant", keep=0.5))
    rows = read(tmp_path, version, "m")
    for row in rows.iter_rows(named=True):
        assert row["keep_text"] == (unit_hash(f"take:{row['take_uid']}", seed=0) < 2**63)
    assert record.units == 3
