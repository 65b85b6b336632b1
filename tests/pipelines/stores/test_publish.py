import gc
import json
import re
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from pipelines.parts.store import PartStore
from pipelines.profile.work import WorkMeter
from pipelines.stores.prepared_takes import PreparedTake
from pipelines.stores.publish import publish_version
from pipelines.stores.quality_summary import summarise_quality
from pipelines.stores.raw_windows import RawImu
from pipelines.stores.refs import list_versions, read_ref
from pipelines.stores.repair import repair_version
from pipelines.stores.sealed import read_manifest, read_run_record
from pipelines.stores.task_map import Job, TaskMap, run_here
from pipelines.stores.verify import verify_version
from schemas.errors import PrimusError, StoreDamagedError
from schemas.manifest import RunRecord
from schemas.mask import MaskSpec
from schemas.segment import SEGMENT_SCHEMA, SEGMENT_SORT
from schemas.store import canonical_json, sha256_hex
from tests.factories import (
    SPEC,
    FakeTake,
    fill_take,
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
    rows = [fill_take(f.prepared, parts=parts, config=config) for f in fakes]
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
    bare_fake = replace(fake, prepared=bare)
    published = publish_fakes(tmp_path, config=config, fakes=[bare_fake], spec=None)
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
    for module in ("arrays", "array_files", "verify_arrays", "verify_manifest"):
        monkeypatch.setattr(f"pipelines.stores.{module}.ROWS_PER_CHUNK", 7)
    config, fakes = make_config(tmp_path), make_fakes(tmp_path)
    published = publish_fakes(tmp_path, config=config, fakes=fakes)
    imu = zarr.open_array(tmp_path / f"versions/{published.version}/arrays.zarr/imu", mode="r")
    assert imu.nchunks == 6
    parts = PartStore(config.parts_root)
    rows = [fill_take(f.prepared, parts=parts, config=config) for f in fakes]
    np.testing.assert_array_equal(imu[:], np.concatenate([r.imu for r in rows]))
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


@pytest.mark.parametrize("stage", ["assemble_batch", "write_chunks"])
def test_run_that_dies_leaves_no_version(tmp_path: Path, stage: str) -> None:
    def die(function: Callable[[Job], Job], jobs: Sequence[Job]) -> Iterator[Job]:
        if function.__name__ == stage:
            raise KeyboardInterrupt
        return map(function, jobs)

    fakes = make_fakes(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        publish_fakes(tmp_path, config=make_config(tmp_path), fakes=fakes, run_tasks=die)
    assert list((tmp_path / "versions").iterdir()) == []
    assert not (tmp_path / "refs").exists()


def test_chunk_lost_on_the_way_publishes_nothing(tmp_path: Path) -> None:
    def lose(function: Callable[[Job], Job], jobs: Sequence[Job]) -> Iterator[Job]:
        for job in jobs:
            yield function(job)
            if "arrays" in job:
                (Path(job["arrays"]) / "text/c/0/0").unlink()

    fakes = make_fakes(tmp_path)
    with pytest.raises(StoreDamagedError, match=r"got no arrays\.zarr/text/c/0/0"):
        publish_fakes(tmp_path, config=make_config(tmp_path), fakes=fakes, run_tasks=lose)
    assert list((tmp_path / "versions").iterdir()) == []


def backwards(function: Callable[[Job], Job], jobs: Sequence[Job]) -> Iterator[Job]:
    """Do every job as a worker elsewhere would, in the other order, each one twice."""
    for job in reversed(jobs):
        sent = json.loads(json.dumps(job))
        function(sent)
        yield json.loads(json.dumps(function(sent)))


def on_threads(function: Callable[[Job], Job], jobs: Sequence[Job]) -> Iterator[Job]:
    with ThreadPoolExecutor(4) as pool:
        for future in as_completed([pool.submit(function, job) for job in jobs]):
            yield future.result()


@pytest.mark.parametrize("run_tasks", [run_here, backwards, on_threads])
@pytest.mark.parametrize("job_rows", [1, 20, 1000])
def test_jobs_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_tasks: TaskMap, job_rows: int
) -> None:
    monkeypatch.setattr("pipelines.stores.arrays.ROWS_PER_CHUNK", 7)
    found = []
    for name, fields in (("a", {}), ("b", {"run_tasks": run_tasks, "job_rows": job_rows})):
        store = tmp_path / name
        config = make_config(store)
        published = publish_fakes(store, config=config, fakes=make_fakes(store, takes=5), **fields)
        files = bytes_of(store, published.version)
        found.append((published.version, {k: v for k, v in files.items() if k != "run.json"}))
    assert found[0] == found[1]
    assert len(found[0][1]) == 3 + 5 + 4 * 9


def with_cancelled_frames(fake: FakeTake, *, parts: PartStore, until: int) -> FakeTake:
    """Return the take with another frames part: up to a frame, each is the last one's opposite."""
    rows = np.stack(fake.frames["embedding"].to_numpy())
    rows[:until] = np.where(np.arange(until)[:, None] % 2 == 0, 1, -1) * rows[0]
    at = fake.frames.schema.get_field_index("embedding")
    field = fake.frames.schema.field(at)
    values = pa.FixedSizeListArray.from_arrays(rows.reshape(-1), rows.shape[1])
    table = fake.frames.set_column(at, field, values)
    key = sha256_hex(b"cancelled" + fake.prepared.take.take_uid.encode())
    parts.write("frames", key, schema=table.schema, batches=table.to_batches(max_chunksize=16))
    return replace(fake, prepared=replace(fake.prepared, frames_key=key), frames=table)


@pytest.mark.parametrize("run_tasks", [run_here, backwards, on_threads])
@pytest.mark.parametrize("required", [True, False])
def test_segments_whose_frames_cancel_out_have_no_video(
    tmp_path: Path, run_tasks: TaskMap, required: bool
) -> None:
    require = ["imu", "video", "text"] if required else ["imu", "text"]
    base = {"length_ms": 1000, "step_ms": 100, "stride_ms": 1000}
    config = make_config(tmp_path, segments={**base, "require": require})
    parts = PartStore(config.parts_root)
    whole = make_fakes(tmp_path)
    fakes = [whole[0], with_cancelled_frames(whole[1], parts=parts, until=20), whole[2]]
    sound = publish_fakes(tmp_path, config=config, fakes=whole)
    published = publish_fakes(tmp_path, config=config, fakes=fakes, run_tasks=run_tasks, job_rows=1)
    before, after = (
        pq.read_table(tmp_path / f"versions/{p.version}/segments.parquet").to_pylist()
        for p in (sound, published)
    )
    # Ten frames, from one of a multiple of 100 ms on: an even number of opposites.
    cancelled = {
        row["segment_id"]
        for row in before
        if row["take_uid"] == "take-1" and row["end_ns"] <= 2_000_000_000
    }
    assert 0 < len(cancelled) < 12
    if required:
        assert published.counts.dropped == {"embedding_zero": len(cancelled)}
        assert {row["segment_id"] for row in after} == {
            row["segment_id"] for row in before
        } - cancelled
    else:
        assert published.counts.dropped == {}
        assert {row["segment_id"] for row in after if not row["has_video"]} == cancelled
    assert verify_version(tmp_path, published.version) == []
    again = publish_fakes(tmp_path, config=config, fakes=fakes)
    assert (again.version, again.reused) == (published.version, True)
    assert sorted(list_versions(tmp_path)) == sorted([sound.version, published.version])
    assert not [p for p in (tmp_path / "versions").iterdir() if p.name.startswith(".")]
    # Repair decides on the rows as publishing did, with a look at the embeddings.
    table = tmp_path / f"versions/{published.version}/segments.parquet"
    written = table.read_bytes()
    table.write_bytes(written[:-1])
    repair_version(tmp_path, published.version, parts_root=config.parts_root)
    assert table.read_bytes() == written


def test_windows_resampled_by_themselves_reach_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The take's own windows, whatever chunk they fall into; zeros where a row has none."""

    def resample(batches: object, *, grid: object, first: Any, samples: int) -> RawImu:
        starts = np.unique(first)
        values = np.repeat(starts[:, None, None] + 1.0, samples, axis=2).repeat(6, axis=1)
        faults = np.where(starts == 19, "imu_gap", "")
        values[starts == 19] = 0
        padded = (starts % 3).astype(np.int32)
        return RawImu(starts=starts, values=values.astype(np.float32), faults=faults, padded=padded)

    monkeypatch.setattr("pipelines.stores.assemble.resample_raw_windows", resample)
    monkeypatch.setattr("pipelines.stores.arrays.ROWS_PER_CHUNK", 7)
    config = make_config(tmp_path, segments={"length_ms": 1000, "step_ms": 100, "require": []})
    fakes = [
        replace(f, prepared=replace(f.prepared, raw_imu_key="0" * 64)) for f in make_fakes(tmp_path)
    ]
    monkeypatch.setattr("pipelines.stores.assemble_batch._bytes_read", lambda *_, **__: 0)
    version = publish_fakes(tmp_path, config=config, fakes=fakes, job_rows=14).version
    folder = tmp_path / f"versions/{version}"
    table = pq.read_table(folder / "segments.parquet")
    imu = zarr.open_array(folder / "arrays.zarr/imu", mode="r")[:]
    first = np.array(table["start_ns"].to_pylist()) // 100_000_000
    assert (first == 19).any()
    assert table["has_imu"].to_pylist() == (first != 19).tolist()
    for row, start in zip(imu, first, strict=True):
        assert np.unique(row).tolist() == [0 if start == 19 else start + 1]


def test_work_of_every_stage_is_told(tmp_path: Path) -> None:
    meter = WorkMeter()
    published = publish_fakes(
        tmp_path, config=make_config(tmp_path), fakes=make_fakes(tmp_path), meter=meter
    )
    work = meter.work()
    assert {stage: done.items for stage, done in work.items()} == {
        "assemble": 36,
        "arrays": 36,
        "seal": len(published.manifest.objects),
    }
    chunks = [e.size for e in published.manifest.objects if "/c/" in e.path]
    assert work["seal"].bytes_out == sum(chunks)
    assert work["arrays"].bytes_out == sum(chunks)
    kinds = ("imu", "frames", "text")
    parts = sum(p.stat().st_size for k in kinds for p in (tmp_path / "parts" / k).rglob("*.arrow"))
    imu = sum(p.stat().st_size for p in (tmp_path / "parts/imu").rglob("*.arrow"))
    assert (work["assemble"].bytes_in, work["arrays"].bytes_in) == (imu, parts)
    assert min(done.seconds for done in work.values()) > 0


def test_takes_out_of_order_are_refused(tmp_path: Path) -> None:
    fakes = make_fakes(tmp_path)[::-1][1:]
    with pytest.raises(ValueError, match="ascending take_uid, got take-0 late"):
        publish_fakes(tmp_path, config=make_config(tmp_path), fakes=fakes)
    assert list_versions(tmp_path) == []


def test_a_job_has_a_row_at_least(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a job must have at least one row, got 0"):
        publish_fakes(tmp_path, config=make_config(tmp_path), fakes=[], job_rows=0)


@pytest.mark.parametrize("job_rows", [1, 1000])
def test_takes_of_which_nothing_is_stored_move_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_rows: int
) -> None:
    monkeypatch.setattr("pipelines.stores.arrays.ROWS_PER_CHUNK", 7)
    found = []
    for name, numbers in (("all", range(5)), ("some", (1, 3))):
        config = make_config(tmp_path / name)
        fakes = [
            write_fake_take(
                PartStore(config.parts_root),
                config=config,
                take=make_take(f"take-{i}"),
                narrations=[make_narration(0.4 * k, f"sentence {k}") for k in range(12)],
                seed=i,
                missing=range(0 if i in (1, 3) else 50),
            )
            for i in numbers
        ]
        published = publish_fakes(tmp_path / name, config=config, fakes=fakes, job_rows=job_rows)
        files = bytes_of(tmp_path / name, published.version)
        found.append({k: v for k, v in files.items() if k not in ("manifest.json", "run.json")})
    assert published.counts.stored == 24
    assert found[0] == found[1]


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
    # What nobody told stays out.
    assert set(raw) == set(RunRecord.model_fields) - {"sha256", "profile", "dirty", "host", "etags"}


def test_tag_and_masks_come_after_the_version(tmp_path: Path) -> None:
    published = publish_small_version(tmp_path, masks=[MaskSpec(name="tenth", keep=0.1)])
    assert read_ref(tmp_path, "latest") == published.version
    assert [record.spec.name for record in published.masks] == ["tenth"]
    assert (tmp_path / f"masks/{published.version}/tenth.parquet").is_file()


def test_untagged_version_moves_no_tag(tmp_path: Path) -> None:
    fakes = make_fakes(tmp_path)
    publish_fakes(tmp_path, config=make_config(tmp_path), fakes=fakes, tag=None)
    assert not (tmp_path / "refs").exists()


def test_progress_tells_takes_then_segments(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    publish_fakes(
        tmp_path,
        config=make_config(tmp_path),
        fakes=make_fakes(tmp_path),
        job_rows=12,
        progress=lambda *told: seen.append(told),
    )
    takes = [("assemble", done, 3) for done in (1, 2, 3)]
    assert seen == [*takes, ("arrays", 36, 36)]


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
        published = publish_version(
            store,
            takes=[fake.prepared for fake in fakes],
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("pipelines.stores.arrays.ROWS_PER_CHUNK", 512)
    monkeypatch.setattr("pipelines.stores.tables.ROW_GROUP", 512)
    config = make_config(tmp_path)
    (fake,) = make_fakes(tmp_path, takes=1)

    def many(takes: int) -> Iterator[PreparedTake]:
        for i in range(takes):
            take = replace(fake.prepared.take, take_uid=f"take-{i:05d}")
            yield replace(fake.prepared, take=take)

    # Among a long test run's many objects Python would leave cycles lying for longer.
    gc.collect()
    gc.freeze()
    request.addfinalizer(gc.unfreeze)
    peaks = []
    for takes in (40, 40, 160):
        tracemalloc.start()
        stored = publish_version(
            tmp_path,
            takes=many(takes),
            config=config,
            encoder=SPEC,
            sources=[],
            quarantine=make_quarantine(),
            run=make_run_record(),
            job_rows=512,
        ).counts.stored
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert stored == 12 * takes
    # The rows' arrays alone would be 12 * 120 * 271 bytes = 0.4 MB more, the narrations 0.8 MB.
    # What may grow is what the driver keeps of each take: its keys, 2 KB.
    assert peaks[2] - peaks[1] < 350_000
