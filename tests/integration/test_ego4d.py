"""Ego4D to a store: windows and frames against the truth, and every fault against its outcome."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from flows.prepare import prepare
from pipelines.parts.store import PartStore
from pipelines.stores.verify import verify_version
from pipelines.synthetic.ego4d import write_ego4d
from pipelines.synthetic.ego4d_truth import (
    Ego4DTakeTruth,
    ego4d_imu_truth,
    frame_times,
    read_ego4d_truth,
)
from pipelines.synthetic.faults import faults_of
from pipelines.synthetic.timecode import decode_timecode
from schemas.manifest import RunRecord
from schemas.store import RUN, version_path
from schemas.time import NS_PER_MS, NS_PER_S
from tests.integration.alignment import WindowLag, check_windows
from tests.integration.conftest import make_config
from tests.integration.published import Published

pytestmark = pytest.mark.slow

SECONDS = 12.0
SEED = 7
CLEAN = 3
FAULTS = faults_of("ego4d")


def publish(root: Path, *, encoder: Path, store: Path) -> Published[Ego4DTakeTruth]:
    config = make_config(
        root, encoder=encoder, store=store, dataset__name="ego4d", max_quarantine=0.5
    )
    summary = prepare(config)
    takes = {take.take_uid: take for take in read_ego4d_truth(root).takes}
    version = store / version_path(summary.version)
    return Published(root=root, version=version, summary=summary, takes=takes)


@pytest.fixture(scope="module")
def clean(
    tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Published[Ego4DTakeTruth]:
    root = tmp_path_factory.mktemp("ego4d") / "data"
    write_ego4d(root, takes=CLEAN, seconds=SECONDS, seed=SEED, size_px=168, participants=3)
    return publish(root, encoder=tiny_encoder, store=root.parent / "store")


@pytest.fixture(scope="module")
def faulty(
    tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Published[Ego4DTakeTruth]:
    """The same takes as ``clean``, and one more for every fault."""
    root = tmp_path_factory.mktemp("faulty") / "data"
    write_ego4d(
        root,
        takes=CLEAN + len(FAULTS),
        seconds=SECONDS,
        seed=SEED,
        size_px=168,
        participants=3,
        faults=["all"],
        workers=2,
    )
    return publish(root, encoder=tiny_encoder, store=root.parent / "store")


def lags(published: Published[Ego4DTakeTruth], take: Ego4DTakeTruth) -> list[WindowLag]:
    return published.lags(take, end_ns=take.duration_ns, signal=ego4d_imu_truth)


def frame_errors_ms(
    published: Published[Ego4DTakeTruth], take: Ego4DTakeTruth
) -> npt.NDArray[np.float64]:
    """How far from its grid time each frame was seen, by the number drawn into its pixels."""
    run = RunRecord.model_validate_json((published.version / RUN).read_text())
    part = PartStore(Path(run.parts_uri)).read_table("frames", run.parts[take.take_uid]["frames"])
    wanted = part["frame_index"].to_pylist()
    seen_ns = frame_times(take).ns()
    errors = dict.fromkeys(wanted, np.nan)
    (path,) = published.root.rglob(f"video_540ss/{take.take_uid}.mp4")
    codes: dict[int, int] = {}
    with av.open(str(path)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i in errors:
                grey = np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8)
                codes[i] = decode_timecode(np.rot90(grey, frame.rotation // 90))
    true_ns = np.array([seen_ns[codes[i]] for i in wanted])
    return (true_ns - part["t_ns"].to_numpy()) / NS_PER_MS


def test_windows_and_frames_lie_where_the_truth_has_them(clean: Published[Ego4DTakeTruth]) -> None:
    assert clean.summary.quarantined_takes == {}
    assert clean.summary.stored == clean.summary.planned > 10
    assert {len(take.components) for take in clean.takes.values()} == {1, 2}
    for take in clean.takes.values():
        check_windows(lags(clean, take))
        errors = frame_errors_ms(clean, take)
        assert len(errors) >= 10 * (SECONDS - 0.2)
        assert np.abs(errors).max() <= 500 / 30
    assert verify_version(clean.root.parent / "store", clean.summary.version) == []


def test_rows_say_what_ego4d_says(clean: Published[Ego4DTakeTruth]) -> None:
    narrations = json.loads((clean.root / "v2_1/annotations/narration.json").read_text())
    for take in clean.takes.values():
        rows = clean.rows_of(take)
        said = [
            (round(entry["timestamp_sec"] * NS_PER_S), entry["narration_text"])
            for found in narrations[take.take_uid].values()
            for entry in found["narrations"]
        ]
        stored = [(row["narration_ns"], row["text_raw"]) for row in rows]
        assert sorted(stored) == sorted(said)
        assert {row["label"] for row in rows} == {take.label}
        assert {row["participant"] for row in rows} == {f"ego4d:{take.participant.participant_uid}"}
        assert {row["imu_frame"] for row in rows} == {"sensor"}
        assert {row["video_variant"] for row in rows} == {"540ss"}
        assert {row["clock_uncertainty_ns"] for row in rows} == {33_333_333}
    passes = {row["pass_uid"].partition(":")[0] for row in clean.rows}
    assert passes == {"narration_pass_1", "narration_pass_2"}
    assert {take.label for take in clean.takes.values()} == {"clean", "construction", "farmer"}


@pytest.mark.long
def test_counts_add_up(faulty: Published[Ego4DTakeTruth]) -> None:
    summary = faulty.summary
    lost = sum(summary.dropped.values()) + sum(summary.quarantined.values())
    assert summary.planned == summary.stored + lost
    truth = read_ego4d_truth(faulty.root)
    assert summary.planned == truth.narrations["accepted"]
    assert summary.ignored == {"unknown_take": truth.narrations["unknown_take"]}
    assert verify_version(faulty.root.parent / "store", summary.version) == []
    has = faulty.imu.any(axis=(1, 2))
    assert has.tolist() == [row["has_imu"] for row in faulty.rows]


@pytest.mark.long
def test_takes_without_fault_are_untouched(
    clean: Published[Ego4DTakeTruth], faulty: Published[Ego4DTakeTruth]
) -> None:
    # The split depends on who else is there.
    for take in clean.takes.values():
        expected, got = (
            [{**row, "split": None} for row in version.rows_of(take)] for version in (clean, faulty)
        )
        assert got == expected
        ids = {row["segment_id"] for row in expected}
        windows = [
            version.imu[[i for i, row in enumerate(version.rows) if row["segment_id"] in ids]]
            for version in (clean, faulty)
        ]
        np.testing.assert_array_equal(windows[0], windows[1])


@pytest.mark.long
def test_quarantined_takes_are_the_documented_ones(faulty: Published[Ego4DTakeTruth]) -> None:
    expected = Counter(f.reason for f in FAULTS.values() if f.outcome == "quarantined")
    assert faulty.summary.quarantined_takes == dict(expected)
    table = pq.read_table(faulty.version / "quarantine.parquet").to_pylist()
    reasons = {row["take_uid"]: row["reason"] for row in table}
    for fault in FAULTS.values():
        take = faulty.of_fault(fault.name)
        quarantined = fault.outcome == "quarantined"
        assert reasons.get(take.take_uid) == (fault.reason if quarantined else None), fault.name
        assert bool(faulty.rows_of(take)) != quarantined, fault.name
    assert "Traceback" not in json.dumps(table)
    assert str(faulty.root) not in json.dumps(table)


@pytest.mark.long
def test_dropped_segments_are_the_documented_ones(faulty: Published[Ego4DTakeTruth]) -> None:
    expected = {f.reason for f in FAULTS.values() if f.outcome == "dropped"}
    assert set(faulty.summary.dropped) == expected
    assert faulty.summary.dropped["text_empty"] == 1
    assert faulty.summary.dropped["narration_outside_take"] == 2
    gap = faulty.of_fault("imu_gap").imu_gap_ns
    assert gap is not None
    for row in faulty.rows_of(faulty.of_fault("imu_gap")):
        assert row["end_ns"] <= gap[0] or row["start_ns"] >= gap[1]
    short = faulty.of_fault("imu_short")
    assert short.imu_end_ns is not None
    assert max(row["end_ns"] for row in faulty.rows_of(short)) <= short.imu_end_ns


@pytest.mark.long
def test_surviving_faults_are_stored_right(faulty: Published[Ego4DTakeTruth]) -> None:
    narrations = json.loads((faulty.root / "v2_1/annotations/narration.json").read_text())
    for fault in FAULTS.values():
        if fault.outcome != "survives":
            continue
        take = faulty.of_fault(fault.name)
        said = sum(len(p["narrations"]) for p in narrations[take.take_uid].values())
        assert len(faulty.rows_of(take)) == said > 0, fault.name
        if fault.name != "imu_late":
            check_windows(lags(faulty, take))
        assert np.abs(frame_errors_ms(faulty, take)).max() <= 21, fault.name


@pytest.mark.long
def test_surviving_faults_show_where_the_table_says(faulty: Published[Ego4DTakeTruth]) -> None:
    def column(fault: str, name: str) -> list[Any]:
        return [row[name] for row in faulty.rows_of(faulty.of_fault(fault))]

    others = [row for row in faulty.rows if not faulty.takes[row["take_uid"]].fault]
    assert max(column("imu_nan", "imu_invalid_share")) > 0
    assert {row["imu_invalid_share"] for row in others} == {0.0}
    assert set(column("imu_late", "sync_suspect")) == {True}
    assert {row["sync_suspect"] for row in faulty.rows} == {True, False}
    (lag_ns,) = set(column("imu_late", "take_lag_ns"))
    assert lag_ns == pytest.approx(800 * NS_PER_MS, abs=20 * NS_PER_MS)
    late = lags(faulty, faulty.of_fault("imu_late"))
    assert max(abs(window.lag_ms + 800) for window in late if window.moves) < 5
    assert set(column("video_av1", "decoder")) == {"pyav"}
    assert max(column("video_variable_rate", "frame_error_ns")) > 5 * NS_PER_MS
    assert {row["frame_error_ns"] for row in others} == {0}
    assert Counter(column("narration_duplicate", "duplicate_index"))[1] == 1
    assert max(column("text_long", "tokens")) > 77 > max(row["tokens"] for row in others)
    texts = "".join(column("text_scripts", "text"))
    assert "右手" in texts
    assert "🍲" in texts
