import json
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from pipelines.parts.store import PartStore
from pipelines.stores.assemble import TakeRows, assemble_take
from pipelines.stores.publish import publish_version
from pipelines.stores.quality_summary import summarise_quality
from pipelines.stores.refs import list_versions, read_ref
from pipelines.stores.sealed import read_manifest, read_run_record
from pipelines.stores.verify import verify_version
from schemas.errors import PrimusError
from schemas.manifest import RunRecord
from schemas.mask import MaskSpec
from schemas.segment import SEGMENT_SCHEMA, SEGMENT_SORT
from schemas.store import canonical_json, sha256_hex
from tests.factories import (
    SPEC,
    FakeTake,
    make_config,
    make_narration,
    make_quarantine,
    make_run_record,
    make_take,
    publish_fakes,
    publish_small_version,
    write_fake_take,
)


def bytes_of(store: Path, version: str) -> dict[str, bytes]:
    folder = store / "versions" / version
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def make_fakes(store: Path, takes: int = 3, **fields: Any) -> list[FakeTake]:
    config = make_config(store)
    parts = PartStore(config.parts_root)
    narrations = [make_narration(0.4 * k, f"sentence {k % 3}") for k in range(12)]
    return [
        write_fake_take(
            parts,
            config=config,
            take=make_take(f"take-{i}"),
            narrations=narrations,
            seed=i,
            **fields,
        )
        for i in range(takes)
    ]


def test_plain_zarr_and_parquet_open_what_was_assembled(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    fakes = make_fakes(tmp_path)
    version = publish_fakes(tmp_path, config=config, fakes=fakes).version
    parts = PartStore(config.parts_root)
    rows = [assemble_take(f.prepared, parts=parts, config=config, encoder=SPEC) for f in fakes]
    table = pq.read_table(tmp_path / f"versions/{version}/segments.parquet")
    assert table.schema.equals(SEGMENT_SCHEMA)
    assert table.equals(pa.concat_tables([r.table for r in rows]).combine_chunks())
    group = zarr.open_group(tmp_path / f"versions/{version}/arrays.zarr", mode="r")
    for name in ("imu", "video", "text", "valid"):
        wanted = np.concatenate([getattr(r, name) for r in rows])
        np.testing.assert_array_equal(group[name][:], wanted)
    assert group["imu"].shape == (36, 6, 10)
    assert dict(group["imu"].attrs)["rate_hz"] == "10"
    keys = list(zip(*(table[name].to_pylist() for name in SEGMENT_SORT), strict=True))
    assert keys == sorted(keys)
    assert verify_version(tmp_path, version) == []


def test_id_is_the_digest_of_the_manifest_and_names_no_clock_or_path(tmp_path: Path) -> None:
    published = publish_small_version(tmp_path)
    data = (tmp_path / f"versions/{published.version}/manifest.json").read_bytes()
    assert data == canonical_json(json.loads(data))
    assert published.version == sha256_hex(data)[:16]
    assert published.manifest == read_manifest(tmp_path, published.version)
    text = data.decode()
    assert str(tmp_path) not in text
    assert "executor" not in text
    assert re.search(r"20\d\d-\d\d-\d\d", text) is None


def test_manifest_tells_the_spread_of_the_rows_written(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    fakes = make_fakes(tmp_path, missing=[20])
    published = publish_fakes(tmp_path, config=config, fakes=fakes)
    path = tmp_path / f"versions/{published.version}/segments.parquet"
    table = pq.read_table(path)
    quality = published.manifest.quality
    assert quality == summarise_quality(path)
    missing = table["frames_missing"].to_numpy()
    assert quality["frames_missing"]["mean"] == float(f"{missing.mean():.6g}") > 0
    assert quality["frames_missing"]["count"] == len(table) == 36
    assert "take_lag_ns" not in quality
    assert verify_version(tmp_path, published.version) == []


def test_version_of_imu_alone_has_no_other_array(tmp_path: Path) -> None:
    config = make_config(tmp_path, segments={"policy": "stride", "require": ["imu"]})
    (fake,) = make_fakes(tmp_path, takes=1)
    bare = replace(fake.prepared, narrations=(), frames_key=None, text_key=None)
    parts = PartStore(config.parts_root)
    published = publish_version(
        tmp_path,
        rows=[assemble_take(bare, parts=parts, config=config, encoder=None)],
        config=config,
        encoder=None,
        sources=[fake.source],
        quarantine=make_quarantine(),
        run=make_run_record(),
    )
    group = zarr.open_group(tmp_path / f"versions/{published.version}/arrays.zarr", mode="r")
    assert sorted(group.array_keys()) == ["imu", "valid"]
    assert published.manifest.encoder is None
    assert published.counts.stored == 5
    assert "frames_missing" not in published.manifest.quality
    assert published.manifest.quality["imu_coverage"]["p05"] == 1
    assert verify_version(tmp_path, published.version) == []


@pytest.mark.parametrize("rows_per_batch", [1, 5, 1000])
def test_same_takes_give_the_same_bytes_wherever_they_are_made(
    tmp_path: Path, rows_per_batch: int
) -> None:
    stores = [tmp_path / "a", tmp_path / "b"]
    versions = []
    for store, rows in zip(stores, (16, rows_per_batch), strict=True):
        fakes = make_fakes(store, rows_per_batch=rows)
        versions.append(publish_fakes(store, config=make_config(store), fakes=fakes).version)
    assert versions[0] == versions[1]
    found = [bytes_of(store, versions[0]) for store in stores]
    assert found[0].keys() == found[1].keys()
    differing = {name for name in found[0] if found[0][name] != found[1][name]}
    assert differing <= {"run.json"}


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param({"segments": {"length_ms": 1500}}, id="length"),
        pytest.param({"segments": {"policy": "stride"}}, id="policy"),
        pytest.param({"segments": {"duplicates": "drop"}}, id="duplicates"),
    ],
)
def test_another_config_is_another_version_of_the_same_parts(
    tmp_path: Path, overrides: dict[str, Any]
) -> None:
    fakes = make_fakes(tmp_path)
    one = publish_fakes(tmp_path, config=make_config(tmp_path), fakes=fakes)
    base = {"length_ms": 1000, "step_ms": 100, "stride_ms": 1000}
    config = make_config(tmp_path, segments={**base, **overrides["segments"]})
    two = publish_fakes(tmp_path, config=config, fakes=fakes)
    assert one.version != two.version
    assert list_versions(tmp_path) == sorted([one.version, two.version])
    assert read_ref(tmp_path, None) == two.version


def test_chunks_and_takes_need_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("arrays", "verify"):
        monkeypatch.setattr(f"pipelines.stores.{module}.ROWS_PER_CHUNK", 7)
    published = publish_fakes(tmp_path, config=make_config(tmp_path), fakes=make_fakes(tmp_path))
    imu = zarr.open_array(tmp_path / f"versions/{published.version}/arrays.zarr/imu", mode="r")
    assert imu.nchunks == 6
    assert verify_version(tmp_path, published.version) == []


def test_publishing_again_keeps_the_version_as_it_is(tmp_path: Path) -> None:
    one = publish_small_version(tmp_path)
    before = bytes_of(tmp_path, one.version)
    two = publish_small_version(tmp_path)
    assert (one.reused, two.reused) == (False, True)
    assert two.version == one.version
    assert bytes_of(tmp_path, one.version) == before
    assert [p.name for p in (tmp_path / "versions").iterdir()] == [one.version]


@pytest.mark.parametrize(
    "name", ["segments.parquet", "manifest.json", "run.json", "arrays.zarr/imu/c/0/0/0"]
)
@pytest.mark.parametrize("how", ["alter", "remove"])
def test_publishing_again_mends_a_damaged_version(tmp_path: Path, name: str, how: str) -> None:
    one = publish_small_version(tmp_path)
    path = tmp_path / "versions" / one.version / name
    before = path.read_bytes()
    if how == "remove":
        path.unlink()
    else:
        path.write_bytes(b"x" + before[1:])
    two = publish_small_version(tmp_path)
    assert (two.version, two.reused) == (one.version, False)
    # A run record tells its own times; verify checks it below.
    assert name == "run.json" or path.read_bytes() == before
    assert verify_version(tmp_path, one.version) == []
    assert [p.name for p in (tmp_path / "versions").iterdir()] == [one.version]


def test_run_that_dies_leaves_no_version(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    fakes = make_fakes(tmp_path)
    parts = PartStore(config.parts_root)

    def rows() -> Any:
        yield assemble_take(fakes[0].prepared, parts=parts, config=config, encoder=SPEC)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish_rows(tmp_path, rows=rows())
    assert list((tmp_path / "versions").iterdir()) == []
    assert not (tmp_path / "refs").exists()


def publish_rows(store: Path, *, rows: Any) -> Any:
    return publish_version(
        store,
        rows=rows,
        config=make_config(store),
        encoder=SPEC,
        sources=[],
        quarantine=make_quarantine(),
        run=make_run_record(),
        tag="latest",
    )


def assembled(store: Path) -> list[TakeRows]:
    config = make_config(store)
    parts = PartStore(config.parts_root)
    return [
        assemble_take(f.prepared, parts=parts, config=config, encoder=SPEC)
        for f in make_fakes(store)
    ]


def test_takes_out_of_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ascending take_uid, got take-0 late"):
        publish_rows(tmp_path, rows=assembled(tmp_path)[::-1][1:])
    assert list_versions(tmp_path) == []


@pytest.mark.parametrize("dropped", [True, False], ids=["all_dropped", "nothing_planned"])
def test_not_one_segment_publishes_nothing(tmp_path: Path, dropped: bool) -> None:
    config = make_config(tmp_path)
    fakes = make_fakes(tmp_path, missing=range(50)) if dropped else []
    with pytest.raises(PrimusError, match="at least one segment must be stored, got") as caught:
        publish_fakes(tmp_path, config=config, fakes=fakes)
    assert ("'frames_missing': 36" in str(caught.value)) == dropped
    assert ("segments.policy=stride plans segments" in str(caught.value)) == (not dropped)
    assert list((tmp_path / "versions").iterdir()) == []
    assert not (tmp_path / "refs").exists()


def test_run_record_is_beside_the_identity_with_its_own_digest(tmp_path: Path) -> None:
    published = publish_small_version(tmp_path)
    record = read_run_record(tmp_path, published.version)
    manifest = (tmp_path / f"versions/{published.version}/manifest.json").read_bytes()
    assert record.version == published.version
    assert record.manifest_sha256 == sha256_hex(manifest)
    assert record.seconds["imu"] == 1.5
    assert record.seconds["publish"] > 0
    raw = json.loads((tmp_path / f"versions/{published.version}/run.json").read_bytes())
    digest = raw.pop("sha256")
    assert digest == sha256_hex(canonical_json(raw))
    assert set(raw) == set(RunRecord.model_fields) - {"sha256"}


def test_tag_and_masks_come_after_the_version(tmp_path: Path) -> None:
    published = publish_small_version(tmp_path, masks=[MaskSpec(name="tenth", keep=0.1)])
    assert read_ref(tmp_path, "latest") == published.version
    assert [record.spec.name for record in published.masks] == ["tenth"]
    assert (tmp_path / f"masks/{published.version}/tenth.parquet").is_file()


def test_untagged_version_moves_no_tag(tmp_path: Path) -> None:
    fakes = make_fakes(tmp_path)
    publish_fakes(tmp_path, config=make_config(tmp_path), fakes=fakes, tag=None)
    assert not (tmp_path / "refs").exists()


def test_progress_tells_the_rows_written(tmp_path: Path) -> None:
    seen: list[int] = []
    publish_version(
        tmp_path,
        rows=assembled(tmp_path),
        config=make_config(tmp_path),
        encoder=SPEC,
        sources=[],
        quarantine=make_quarantine(),
        run=make_run_record(),
        progress=seen.append,
    )
    assert seen == [12, 24, 36]


def test_source_order_and_quarantine_order_do_not_matter(tmp_path: Path) -> None:
    entries = [
        {"dataset": "egoexo4d", "take_uid": uid, "reason": "x", "detail": "", "segments": 1}
        for uid in ("q1", "q2")
    ]
    versions = Counter[str]()
    for order in (1, -1):
        store = tmp_path / str(order)
        fakes = make_fakes(store)
        config = make_config(store)
        parts = PartStore(config.parts_root)
        published = publish_version(
            store,
            rows=[
                assemble_take(f.prepared, parts=parts, config=config, encoder=SPEC) for f in fakes
            ],
            config=config,
            encoder=SPEC,
            sources=[f.source for f in fakes][::order],
            quarantine=make_quarantine(entries[::order]),
            run=make_run_record(),
            ignored={"rejected_pass": 3},
        )
        versions[published.version] += 1
        assert published.counts.ignored == {"rejected_pass": 3}
    assert list(versions.values()) == [2]


def test_runs_that_publish_the_same_at_once_agree(tmp_path: Path) -> None:
    fakes = make_fakes(tmp_path)
    config = make_config(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(publish_fakes, tmp_path, config=config, fakes=fakes) for _ in range(8)]
        versions = {run.result().version for run in runs}
    assert len(versions) == 1
    assert [p.name for p in (tmp_path / "versions").iterdir()] == list(versions)
    assert verify_version(tmp_path, versions.pop()) == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.stores.arrays.ROWS_PER_CHUNK", 512)
    monkeypatch.setattr("pipelines.stores.tables.ROW_GROUP", 512)
    one = assembled(tmp_path)[0]
    at = one.table.schema.get_field_index("take_uid")

    def rows(takes: int) -> Iterator[TakeRows]:
        for i in range(takes):
            uids = pa.array([f"take-{i:05d}"] * len(one))
            yield replace(one, table=one.table.set_column(at, SEGMENT_SCHEMA.field(at), uids))

    peaks = []
    for takes in (60, 60, 600):
        tracemalloc.start()
        stored = publish_rows(tmp_path, rows=rows(takes)).counts.stored
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert stored == 12 * takes
    # The rows' arrays alone would be 12 * 540 * 271 bytes = 1.8 MB more. What may grow is the
    # list of chunks in the manifest. The first run pays for imports.
    assert peaks[2] - peaks[1] < 500_000
