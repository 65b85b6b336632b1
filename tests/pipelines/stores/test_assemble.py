from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.align.sync_audit import SyncAudit, measure_lag
from pipelines.parts.store import PartStore
from schemas.errors import StoreDamagedError
from schemas.imu import IMU_CHANNELS
from schemas.segment import SEGMENT_SCHEMA
from schemas.store import sha256_hex
from schemas.time import NS_PER_S
from tests.factories import (
    FakeTake,
    FilledTake,
    fill_take,
    make_config,
    make_narration,
    write_fake_take,
)

NARRATIONS = (
    make_narration(0.2, "opens the door"),
    make_narration(1.7, "walks in"),
    make_narration(1.7, "walks in", pass_uid="pass-2"),
    make_narration(4.0, "sits down"),
)


@pytest.fixture
def parts(tmp_path: Path) -> PartStore:
    return PartStore(make_config(tmp_path).parts_root)


def assemble(fake: FakeTake, parts: PartStore, **overrides: object) -> FilledTake:
    config = make_config(parts.root.parent, **overrides)
    return fill_take(fake.prepared, parts=parts, config=config)


def write(parts: PartStore, **fields: object) -> FakeTake:
    config = make_config(parts.root.parent)
    given = {"narrations": NARRATIONS, **fields}
    return write_fake_take(parts, config=config, **given)  # type: ignore[arg-type]


def test_rows_are_views_of_the_parts_by_slow_loop(parts: PartStore) -> None:
    fake = write(parts)
    rows = assemble(fake, parts)
    assert rows.table.schema.equals(SEGMENT_SCHEMA)
    table = rows.table.to_pylist()
    assert [row["start_ns"] for row in table] == [0, 1_200_000_000, 1_200_000_000, 3_500_000_000]
    vectors = {row["text"]: row["embedding"] for row in fake.text.to_pylist()}
    for i, row in enumerate(table):
        points = [
            k
            for k, t in enumerate(fake.imu["t_ns"].to_pylist())
            if row["start_ns"] <= t < row["end_ns"]
        ]
        wanted = [[fake.imu[name][k].as_py() for k in points] for name in IMU_CHANNELS]
        assert rows.imu[i].tolist() == wanted
        assert row["imu_gap_ns"] == max(fake.imu["gap_ns"][k].as_py() for k in points)
        frames = [
            k
            for k, t in enumerate(fake.frames["t_ns"].to_pylist())
            if row["start_ns"] <= t < row["end_ns"]
        ]
        mean = np.mean(
            [np.array(fake.frames["embedding"][k].as_py(), np.float64) for k in frames], axis=0
        )
        np.testing.assert_allclose(rows.video[i], mean / np.linalg.norm(mean), atol=3e-4)
        vector = np.array(vectors[row["text"]], np.float64)
        np.testing.assert_allclose(rows.text[i], vector / np.linalg.norm(vector), atol=3e-4)
        assert row["frames"] == len(frames) == 10
        assert row["tokens"] == len(row["text"].split()) + 2
    assert rows.valid.all()
    assert (rows.planned, rows.drops, rows.imu.shape) == (4, {}, (4, 6, 10))


def test_columns_say_where_a_row_comes_from(parts: PartStore) -> None:
    fake = write(parts)
    rows = assemble(fake, parts).table.to_pylist()
    found = rows[0]
    shown = {
        "dataset": "egoexo4d",
        "take_uid": "take-a",
        "take_name": "name of take-a",
        "participant": "egoexo4d:p-take-a",
        "split": "train",
        "label": "cooking",
        "task_family": "Cooking",
        "narration_ns": 200_000_000,
        "text": "opens the door",
        "text_raw": "C opens the door.",
        "text_source": "atomic_descriptions",
        "pass_uid": "pass-1",
        "has_imu": True,
        "has_video": True,
        "has_text": True,
        "imu_stream": "imu-right",
        "imu_frame": "device",
        "video_variant": "448",
        "decoder": "pyav",
        "clock_uncertainty_ns": 33_333_333,
        "duplicate_index": 0,
        "overlaps": 0,
        "same_window": 0,
    }
    assert {name: found[name] for name in shown} == shown
    assert sorted(row["duplicate_index"] for row in rows[1:3]) == [0, 1]
    assert [row["same_window"] for row in rows] == [0, 1, 1, 0]


def test_take_lag_is_measured_once_for_the_whole_take(parts: PartStore) -> None:
    fake = write(parts)
    rows = assemble(fake, parts).table
    t_ns = fake.imu["t_ns"].to_numpy()
    gyro = np.stack([fake.imu[name].to_numpy() for name in IMU_CHANNELS[3:]], axis=1)
    motion = np.stack(
        [fake.frames[name].to_numpy(zero_copy_only=False) for name in ("motion_dx", "motion_dy")],
        axis=1,
    )
    wanted = measure_lag(
        gyro_t_ns=t_ns,
        gyro_rad_s=gyro.astype(np.float64),
        motion_t_ns=fake.frames["t_ns"].to_numpy(),
        motion=motion.astype(np.float64),
    )
    assert wanted.lag_ns is None  # random numbers hold no lag
    assert rows["take_lag_ns"].null_count == len(rows)
    assert set(rows["take_lag_r2"].to_pylist()) == {float(np.float32(round(wanted.r2, 3)))}


@pytest.mark.parametrize(
    ("limits", "drops"),
    [
        pytest.param({}, {}, id="none"),
        pytest.param({"max_abs_lag_ms": 161}, {}, id="at_the_limit"),
        pytest.param({"max_abs_lag_ms": 160.9}, {"lag_high": 4}, id="lag_high"),
        pytest.param({"min_lag_confidence": 0.4}, {}, id="just_trusted"),
        pytest.param({"min_lag_confidence": 0.41}, {"lag_unknown": 4}, id="lag_unknown"),
    ],
)
def test_lag_of_the_take_is_on_every_row_and_can_be_limited(
    parts: PartStore,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, float],
    drops: dict[str, int],
) -> None:
    audit = SyncAudit(
        lag_ns=-161_000_000,
        r2=0.456,
        confidence=0.4,
        drift_ns=None,
        origin_ns=0,
        seconds=5,
        window_s=5,
        local_lag_ms=(),
        local_r2=(),
        local_confidence=(),
    )
    monkeypatch.setattr("pipelines.stores.sync_record.measure_lag", lambda **_: audit)
    rows = assemble(write(parts), parts, quality=limits)
    assert rows.drops == drops
    stored = 4 - sum(drops.values())
    assert rows.table["take_lag_ns"].to_pylist() == [-161_000_000] * stored
    assert rows.table["take_lag_r2"].to_pylist() == [float(np.float32(0.456))] * stored
    assert rows.table["sync_suspect"].to_pylist() == [True] * stored


@pytest.mark.parametrize(
    ("fault", "drops"),
    [
        pytest.param({"invalid": [14]}, {"imu_gap": 2}, id="imu_gap"),
        pytest.param({"invalid": range(3)}, {"imu_missing": 1}, id="imu_starts_late"),
        pytest.param({"missing": [15]}, {}, id="a_tenth_of_frames_may_lack"),
        pytest.param({"missing": [15, 16]}, {"frames_missing": 2}, id="frames_missing"),
        pytest.param(
            {"narrations": [*NARRATIONS, make_narration(3.0, "")]}, {"text_empty": 1}, id="text"
        ),
        pytest.param(
            {"narrations": [*NARRATIONS, make_narration(5.0)]},
            {"narration_outside_take": 1},
            id="outside",
        ),
    ],
)
def test_each_reason_is_provoked(
    parts: PartStore, fault: dict[str, object], drops: dict[str, int]
) -> None:
    fake = write(parts, **fault)
    rows = assemble(fake, parts)
    assert rows.drops == drops
    assert rows.planned == len(fake.prepared.narrations)
    assert len(rows) == rows.planned - sum(drops.values())
    assert rows.valid.all()
    assert rows.imu.shape[0] == rows.video.shape[0] == rows.text.shape[0] == len(rows)


def test_what_is_not_required_may_be_absent_and_is_zeros(parts: PartStore) -> None:
    fake = write(
        parts, narrations=[*NARRATIONS, make_narration(3.0, "")], invalid=[14], missing=[0, 1]
    )
    rows = assemble(fake, parts, segments={"require": []})
    assert (len(rows), rows.drops) == (5, {})
    assert rows.valid.tolist() == [
        [True, False, True],
        [False, True, True],
        [False, True, True],
        [True, True, False],
        [True, True, True],
    ]
    table = rows.table.to_pylist()
    for i, name in enumerate(("imu", "video", "text")):
        values = getattr(rows, name)
        for k, row in enumerate(table):
            assert row[f"has_{name}"] == rows.valid[k, i]
            assert bool(values[k].any()) == rows.valid[k, i]
    assert table[0]["frames"] is None
    assert table[0]["decoder"] is None
    assert table[1]["imu_gap_ns"] is None
    assert table[1]["imu_frame"] is None
    assert table[3]["tokens"] is None


def test_take_without_any_part_keeps_nothing_required(parts: PartStore) -> None:
    fake = write(parts)
    bare = replace(fake.prepared, imu_key=None, frames_key=None, text_key=None)
    rows = assemble(replace(fake, prepared=bare), parts)
    assert rows.drops == {"imu_missing": 4}
    assert rows.table.schema.equals(SEGMENT_SCHEMA)
    assert rows.imu.shape == (0, 6, 10)
    loose = assemble(replace(fake, prepared=bare), parts, segments={"require": []})
    assert len(loose) == 4
    assert not loose.valid.any()
    assert not loose.imu.any()
    assert loose.table["take_lag_ns"].null_count == 4


def test_stride_needs_no_text(parts: PartStore) -> None:
    fake = write(parts, narrations=[])
    rows = assemble(fake, parts, segments={"policy": "stride"})
    assert rows.table["start_ns"].to_pylist() == [k * NS_PER_S for k in range(5)]
    assert rows.valid.tolist() == [[True, True, False]] * 5
    assert not rows.text.any()
    for name in ("narration_ns", "text", "text_raw", "text_source", "pass_uid", "tokens"):
        assert rows.table[name].null_count == 5, name


def test_nothing_planned_reads_no_part(tmp_path: Path, parts: PartStore) -> None:
    fake = write(parts, narrations=[])
    for kind in ("imu", "frames"):
        parts.path(kind, getattr(fake.prepared, f"{kind}_key")).unlink()
    rows = assemble(fake, parts)
    assert (len(rows), rows.planned, rows.drops) == (0, 0, {})


@pytest.mark.parametrize("missing", [(), range(20)], ids=["stored", "all_dropped"])
def test_damaged_part_is_named(parts: PartStore, missing: Sequence[int]) -> None:
    """Also where nothing of it is stored: what was dropped was dropped for what it says."""
    fake = write(parts, narrations=[make_narration(0.5)], missing=missing)
    assert assemble(fake, parts).drops == ({"frames_missing": 1} if missing else {})
    assert fake.prepared.frames_key is not None
    path = parts.path("frames", fake.prepared.frames_key)
    data = bytearray(path.read_bytes())
    at = data.find(np.array(fake.frames["embedding"][20].as_py(), np.float16).tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="part must match its digest"):
        assemble(fake, parts)


def test_sentences_are_found_by_the_hash_of_their_utf8(parts: PartStore) -> None:
    fake = write(parts, narrations=[make_narration(1.0, "öffnet die Tür")])
    assert fake.text["text_sha256"][0].as_py() == sha256_hex("öffnet die Tür".encode())
    assert assemble(fake, parts).valid.all()


def test_quality_columns_by_slow_loop(parts: PartStore) -> None:
    narrations = [*NARRATIONS, make_narration(1.9, "looks back"), make_narration(4.2, "")]
    fake = write(parts, narrations=narrations, missing=[15])
    table = assemble(fake, parts, segments={"require": []}).table.to_pylist()
    assert len(table) == 6
    for row in table:
        window = range(row["start_ns"], row["end_ns"])
        inside = {n.text for n in narrations if n.narration_ns in window and n.text}
        assert row["sentences_in_window"] == len(inside)
        assert row["ambiguous"] == (len(inside) > 1)
        assert row["narrations_per_minute"] == 72  # six in the 5 s of this take
        assert row["frames_missing"] == (1_500_000_000 in window)
        assert row["frames"] + row["frames_missing"] == 10
        assert row["imu_coverage"] == 1
        assert row["imu_jitter_ns"] == 0
        assert row["imu_invalid_share"] == row["imu_saturated_share"] == 0
        assert row["imu_still_share"] == 0
        assert row["imu_padded_samples"] == 0
    assert {row["ambiguous"] for row in table} == {True, False}


def test_coverage_and_missing_frames_are_told_where_the_modality_is_not(parts: PartStore) -> None:
    fake = write(parts, invalid=[14], missing=[15, 16])
    row = assemble(fake, parts, segments={"require": []}).table.to_pylist()[1]
    assert (row["has_imu"], row["has_video"]) == (False, False)
    assert row["imu_coverage"] == pytest.approx(0.9)
    assert row["frames_missing"] == 2
    for name in ("imu_gap_ns", "imu_jitter_ns", "imu_still_share", "imu_padded_samples", "frames"):
        assert row[name] is None, name


def test_take_without_parts_or_narrations_tells_no_quality(parts: PartStore) -> None:
    fake = write(parts, narrations=[])
    bare = replace(fake.prepared, imu_key=None, frames_key=None, text_key=None)
    stride = {"policy": "stride", "require": []}
    rows = assemble(replace(fake, prepared=bare), parts, segments=stride).table
    assert len(rows) == 5
    for name in (
        "imu_coverage",
        "imu_jitter_ns",
        "imu_invalid_share",
        "imu_saturated_share",
        "imu_still_share",
        "imu_padded_samples",
        "frames_missing",
        "narrations_per_minute",
        "sentences_in_window",
        "ambiguous",
    ):
        assert rows[name].null_count == 5, name


SPOILT = {
    "imu_coverage_low": {"min_imu_coverage": 0.95},
    "imu_gap_long": {"max_imu_gap_ms": 10},
    "imu_jitter_high": {"max_imu_jitter_us": 500},
    "imu_invalid_high": {"max_imu_invalid_share": 0.1},
    "imu_saturated": {"max_imu_saturated_share": 0.02},
    "imu_still": {"max_imu_still_share": 0.5},
    "frame_error_high": {"max_frame_error_ms": 17},
    "frames_missing_many": {"max_frames_missing": 0},
    "narrations_dense": {"max_narrations_per_minute": 45},
    "overlaps_many": {"max_overlaps": 0},
    "ambiguous": {"drop_ambiguous": True},
}


@pytest.mark.parametrize("reason", SPOILT)
def test_each_limit_drops_the_spoilt_segment(parts: PartStore, reason: str) -> None:
    """Of two segments in a minute and a half, the second one is spoilt in the way of each limit."""
    narrations = [make_narration(10.5, "opens the door"), make_narration(80.5, "walks in")]
    if reason in ("ambiguous", "narrations_dense", "overlaps_many"):
        narrations += [make_narration(80.9, f"says {k}") for k in range(40)]
    config = make_config(parts.root.parent)
    fake = write_fake_take(parts, config=config, narrations=narrations, seconds=90)
    spoil(parts, fake, reason=reason)
    loose = assemble(fake, parts, segments={"require": ["text"]})
    assert (loose.drops, len(loose)) == ({}, len(narrations))
    rows = assemble(fake, parts, segments={"require": ["text"]}, quality=SPOILT[reason])
    assert rows.drops == {reason: len(narrations) - 1}
    assert rows.planned == len(narrations)
    assert rows.table["text"].to_pylist() == ["opens the door"]
    assert rows.valid.all()
    assert rows.imu.shape[0] == rows.video.shape[0] == rows.text.shape[0] == 1


def spoil(parts: PartStore, fake: FakeTake, *, reason: str) -> None:
    """Rewrite the take's imu or frames part with a fault between 80 and 81 s."""
    imu = {name: fake.imu[name].to_numpy().copy() for name in fake.imu.column_names}
    here = (imu["t_ns"] >= 80 * NS_PER_S) & (imu["t_ns"] < 81 * NS_PER_S)
    frames, last = fake.frames, np.flatnonzero(fake.frames["t_ns"].to_numpy() == 80_500_000_000)
    if reason == "imu_coverage_low":
        imu["valid"][np.flatnonzero(here)[4]] = False
    elif reason == "imu_gap_long":
        imu["gap_ns"][np.flatnonzero(here)[4]] = 10_000_001
    elif reason == "imu_jitter_high":
        # Half the intervals 4 ms and half 6 ms: a standard deviation of 1 ms.
        imu["interval_sum_us2"][here] = imu["intervals"][here] * (4000.0**2 + 6000.0**2) / 2
    elif reason == "imu_invalid_high":
        imu["invalid_samples"][here] = 10
    elif reason == "imu_saturated":
        imu["saturated_samples"][here] = 1
    elif reason == "imu_still":
        for name in IMU_CHANNELS:
            imu[name][here] = 0.01
    elif reason == "frame_error_high":
        pts_ns = frames["pts_ns"].to_numpy().copy()
        pts_ns[last] += 40_000_000
        frames = frames.set_column(1, frames.schema.field("pts_ns"), pa.array(pts_ns))
    elif reason == "frames_missing_many":
        frames = frames.filter(pa.array(np.arange(len(frames)) != last))
    imu_part = pa.table(imu, schema=fake.imu.schema)
    for kind, table in (("imu", imu_part), ("frames", frames)):
        key = getattr(fake.prepared, f"{kind}_key")
        parts.path(kind, key).unlink()  # type: ignore[arg-type]
        parts.write(kind, key, schema=table.schema, batches=table.to_batches(), metadata=None)  # type: ignore[arg-type]


def test_take_whose_lag_cannot_be_told_falls_where_it_must_be(parts: PartStore) -> None:
    rows = assemble(write(parts), parts, quality={"min_lag_confidence": 0})
    assert rows.drops == {"lag_unknown": 4}
    assert rows.imu.shape == (0, 6, 10)


def test_segment_beyond_several_limits_counts_once_under_the_first(parts: PartStore) -> None:
    fake = write(parts, invalid=[14])
    limits = {"min_imu_coverage": 1, "max_imu_gap_ms": 1e-6, "max_overlaps": 0}
    rows = assemble(fake, parts, segments={"require": ["text"]}, quality=limits)
    assert rows.drops == {"imu_coverage_low": 2, "imu_gap_long": 2}
    required = assemble(fake, parts, quality=limits)
    assert required.drops == {"imu_gap": 2, "imu_gap_long": 2}


def test_overlaps_are_limited_as_planned_and_told_as_stored(parts: PartStore) -> None:
    narrations = [make_narration(s, f"says {s}") for s in (1.0, 1.5, 2.0, 4.0)]
    fake = write(parts, narrations=narrations)
    free = assemble(fake, parts)
    assert free.table["overlaps"].to_pylist() == [1, 2, 1, 0]
    rows = assemble(fake, parts, quality={"max_overlaps": 1})
    assert rows.drops == {"overlaps_many": 1}
    assert rows.table["overlaps"].to_pylist() == [0, 0, 0]
    np.testing.assert_array_equal(rows.imu, free.imu[[0, 2, 3]])
    np.testing.assert_array_equal(rows.text, free.text[[0, 2, 3]])


def test_imu_alone_needs_no_encoder(parts: PartStore) -> None:
    fake = write(parts, narrations=[])
    bare = replace(fake.prepared, frames_key=None, text_key=None)
    config = make_config(parts.root.parent, segments={"policy": "stride", "require": ["imu"]})
    rows = fill_take(bare, parts=parts, config=config, spec=None)
    assert (len(rows), rows.drops) == (5, {})
    assert set(rows.arrays) == {"imu", "valid"}
    assert rows.valid.tolist() == [[True, False, False]] * 5
