from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.storage.files import write_atomic
from pipelines.storage.places import open_place
from pipelines.stores.draw_mask import draw_units, unit_hash
from pipelines.stores.masks import list_masks, read_mask_record, write_mask
from schemas.errors import StoreDamagedError, StoreNotFoundError, UsageError
from schemas.mask import MASK_SCHEMA, MaskRecord, MaskSpec
from schemas.store import canonical_json
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


UNITS = st.dictionaries(
    st.text("abcdef0123456789", min_size=1, max_size=8),
    st.sampled_from([None, "cooking", "music"]),
    max_size=60,
)
SEEDS = st.integers(0, 2**31)


@settings(max_examples=100, deadline=None)
@given(units=UNITS, seed=SEEDS, exact=st.booleans(), order=st.randoms())
def test_a_tenth_lies_in_a_quarter_in_a_half_whatever_the_order(
    units: dict[str, str | None], seed: int, exact: bool, order: Random
) -> None:
    drawn = [draw_units(units, spec=spec(keep=k, seed=seed, exact=exact)) for k in (0.1, 0.25, 0.5)]
    assert drawn[0] <= drawn[1] <= drawn[2] <= set(units)
    shuffled = list(units.items())
    order.shuffle(shuffled)
    again = draw_units(dict(shuffled), spec=spec(keep=0.25, seed=seed, exact=exact))
    assert again == drawn[1]


@settings(max_examples=100, deadline=None)
@given(units=UNITS, more=UNITS, seed=SEEDS, keep=st.floats(0, 1))
def test_a_superset_store_keeps_the_same_units(
    units: dict[str, str | None], more: dict[str, str | None], seed: int, keep: float
) -> None:
    recipe = spec(keep=keep, seed=seed)
    # Their labels may differ too: the default looks at none.
    assert draw_units({**units, **more}, spec=recipe) & set(units) == draw_units(units, spec=recipe)


@settings(max_examples=100, deadline=None)
@given(units=UNITS, seed=SEEDS, percent=st.integers(0, 100))
def test_exact_counts_hold_in_every_stratum(
    units: dict[str, str | None], seed: int, percent: int
) -> None:
    kept = draw_units(units, spec=spec(keep=percent / 100, seed=seed, exact=True))
    for label in (None, "cooking", "music"):
        stratum = [unit for unit, other in units.items() if other == label]
        assert abs(len(kept & set(stratum)) - percent * len(stratum) / 100) <= 0.5 + 1e-9
        shown = [unit_hash(unit, seed=seed) for unit in stratum if unit in kept]
        hidden = [unit_hash(unit, seed=seed) for unit in stratum if unit not in kept]
        assert not shown or not hidden or max(shown) < min(hidden)


@pytest.mark.parametrize("unit", ["segment", "take", "participant"])
@pytest.mark.parametrize("exact", [False, True])
def test_tables_nest_for_every_unit(published: tuple[Path, str], unit: str, exact: bool) -> None:
    store, version = published
    shown, counts = [], []
    for percent in (10, 25, 50):
        name = f"{unit}-{percent}-{'exact' if exact else 'hash'}"
        record = write_mask(
            store, version, spec=spec(name, unit=unit, exact=exact, keep=percent / 100, seed=5)
        )
        rows = read(store, version, name).filter(pl.col("split") == "train")
        assert rows["keep_video"].equals(rows["keep_text"])
        assert rows["keep_video"].sum() == record.kept_rows
        shown.append(set(rows.filter("keep_video")["segment_id"]))
        counts.append(record.kept_units)
    assert shown[0] <= shown[1] <= shown[2]
    if exact and unit == "segment":
        # Takes 0-2 and 5-7 are train: 20 rows each, labels cooking 40, music 40, none 40.
        assert counts == [12, 30, 60]
    elif exact:
        assert counts == [0, 3, 3]


def test_same_seed_agrees_on_a_superset_version(tmp_path: Path) -> None:
    small = publish_small_version(tmp_path, takes=3).version
    large = publish_small_version(tmp_path, takes=8).version
    assert small != large
    for unit in ("segment", "take", "participant"):
        found = []
        for version in (small, large):
            write_mask(tmp_path, version, spec=spec(unit, unit=unit, keep=0.5, seed=9))
            rows = read(tmp_path, version, unit)
            found.append(dict(zip(rows["segment_id"], rows["keep_video"], strict=True)))
        assert found[0].items() <= found[1].items()
        assert len(found[1]) > len(found[0])


def test_two_writers_of_one_name_never_mix(published: tuple[Path, str]) -> None:
    store, version = published
    seeds = range(8)

    with ThreadPoolExecutor(len(seeds)) as pool:
        writes = [
            pool.submit(write_mask, store, version, spec=spec("race", seed=seed)) for seed in seeds
        ]
    refused = [str(write.exception()) for write in writes if write.exception() is not None]
    assert len(refused) == len(seeds) - 1
    assert all("mask race must keep its recipe" in sentence for sentence in refused)
    records = [write.result() for write in writes if write.exception() is None]
    assert read_mask_record(store, version, "race") == records[0]
    data = (store / f"masks/{version}/race.parquet").read_bytes()
    assert sha256(data).hexdigest() == records[0].sha256


def test_a_name_claimed_by_a_writer_that_died_is_finished_by_its_recipe_alone(
    tmp_path: Path,
) -> None:
    version = publish_small_version(tmp_path, takes=3).version
    claimed = spec("mine", seed=4).model_dump(mode="json")
    (tmp_path / "masks" / version).mkdir(parents=True)
    (tmp_path / "masks" / version / "mine.claim").write_bytes(canonical_json(claimed))
    assert list_masks(tmp_path, version) == []
    with pytest.raises(UsageError, match=r"mask mine must keep its recipe .*\"seed\":4"):
        write_mask(tmp_path, version, spec=spec("mine", seed=5))
    assert write_mask(tmp_path, version, spec=spec("mine", seed=4)).spec.seed == 4
    assert list_masks(tmp_path, version) == ["mine"]


def test_a_claim_that_says_nothing_is_damage(tmp_path: Path) -> None:
    version = publish_small_version(tmp_path, takes=1).version
    (tmp_path / "masks" / version).mkdir(parents=True)
    (tmp_path / "masks" / version / "m.claim").write_bytes(b"")
    with pytest.raises(StoreDamagedError, match=r"mask claim must hold a recipe, delete it"):
        write_mask(tmp_path, version, spec=spec())


def test_masks_of_a_store_elsewhere_are_the_same(published: tuple[Path, str]) -> None:
    store, version = published
    remote = open_place(f"memory://{store.name}-remote")
    for name in ("manifest.json", "segments.parquet"):
        path = f"versions/{version}/{name}"
        write_atomic(remote / path, (store / path).read_bytes())
    record = write_mask(store, version, spec=spec("both", unit="take"))
    assert write_mask(remote, version, spec=spec("both", unit="take")) == record
    assert write_mask(remote, version, spec=spec("both", unit="take")) == record
    assert list_masks(remote, version) == ["both"]
    for suffix in ("parquet", "json", "claim"):
        path = f"masks/{version}/both.{suffix}"
        assert (remote / path).read_bytes() == (store / path).read_bytes()
    with pytest.raises(UsageError, match="mask both must keep its recipe"):
        write_mask(remote, version, spec=spec("both"))


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
