"""Synthetic GoPro clips to a store: windows, frames and sentences against the truth, and faults."""

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
from pipelines.synthetic.faults import faults_of
from pipelines.synthetic.gopro import write_gopro
from pipelines.synthetic.gopro_truth import (
    GoProTake,
    clip_frames_ns,
    gopro_signal,
    read_gopro_truth,
)
from pipelines.synthetic.timecode import decode_timecode
from schemas.manifest import RunRecord
from schemas.store import RUN, version_path
from schemas.time import NS_PER_MS, NS_PER_S
from tests.integration.alignment import STEP_MS, WindowLag, check_windows
from tests.integration.conftest import make_config
from tests.integration.published import Published

pytestmark = pytest.mark.slow

SECONDS = 12.0
SEED = 1
CLEAN = 3
FAULTS = faults_of("gopro")
HALF_FRAME_MS = 1001 / 60


def publish(tmp: Path, encoder: Path, *, faults: tuple[str, ...] = ()) -> Published[GoProTake]:
    takes = CLEAN + (len(FAULTS) if faults else 0)
    root, store = tmp / "data", tmp / "store"
    write_gopro(
        root, takes=takes, seconds=SECONDS, seed=SEED, participants=3, faults=faults, size_px=168
    )
    config = make_config(
        root, encoder=encoder, store=store, dataset__name="gopro", max_quarantine=1.0
    )
    summary = prepare(config)
    known = {take.take_uid: take for take in read_gopro_truth(root).takes}
    version = store / version_path(summary.version)
    return Published(root=root, version=version, summary=summary, takes=known)


@pytest.fixture(scope="module")
def clean(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Published[GoProTake]:
    return publish(tmp_path_factory.mktemp("gopro"), tiny_encoder)


@pytest.fixture(scope="module")
def faulty(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Published[GoProTake]:
    """The same takes as ``clean``, and one more for every fault."""
    return publish(tmp_path_factory.mktemp("faulty"), tiny_encoder, faults=("all",))


def lags(published: Published[GoProTake], take: GoProTake) -> list[WindowLag]:
    return published.lags(take, end_ns=take.clips[-1].end_ns, signal=gopro_signal)


def frame_errors_ms(published: Published[GoProTake], take: GoProTake) -> npt.NDArray[np.float64]:
    """How far from its grid time each frame was seen, by the number drawn into its pixels."""
    run = RunRecord.model_validate_json((published.version / RUN).read_text())
    part = PartStore(Path(run.parts_uri)).read_table("frames", run.parts[take.take_uid]["frames"])
    seen_ns: dict[int, int] = {}
    number = 0
    for clip in take.clips:
        shown_ns = clip_frames_ns(take, clip)
        with av.open(str(published.root / clip.path)) as container:
            for frame in container.decode(video=0):
                grey = np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8)
                code = decode_timecode(np.rot90(grey, frame.rotation // 90))
                seen_ns[number] = int(shown_ns[code])
                number += 1
    true_ns = np.array([seen_ns[i] for i in part["frame_index"].to_pylist()])
    return (true_ns - part["t_ns"].to_numpy()) / NS_PER_MS


def said(take: GoProTake) -> list[tuple[int, str]]:
    """When what was said, on the take clock, by the truth."""
    return sorted(
        (take.clips[cue.clip].start_ns + cue.at_ms * NS_PER_MS, cue.text) for cue in take.cues
    )


def test_windows_and_frames_lie_where_the_truth_has_them(clean: Published[GoProTake]) -> None:
    assert clean.summary.quarantined_takes == {}
    assert clean.summary.stored == clean.summary.planned > 10
    assert set(clean.takes) == {row["take_uid"] for row in clean.rows}
    assert {len(take.clips) for take in clean.takes.values()} == {1, 2}
    assert {take.clock_us is None for take in clean.takes.values()} == {False, True}
    assert {take.picture_start_ns for take in clean.takes.values()} == {0, 100 * NS_PER_MS}
    for take in clean.takes.values():
        check_windows(lags(clean, take))
        errors = frame_errors_ms(clean, take)
        assert len(errors) >= 10 * (SECONDS - 0.2)
        assert np.abs(errors).max() <= HALF_FRAME_MS
    assert verify_version(clean.root.parent / "store", clean.summary.version) == []


def test_axes_and_units_are_the_devices(clean: Published[GoProTake]) -> None:
    for i, row in enumerate(clean.rows):
        t_ns = row["start_ns"] + np.arange(250) * STEP_MS * NS_PER_MS
        truth = gopro_signal(clean.takes[row["take_uid"]], t_ns).T
        # Gravity pulls against Z, looking down or not; a turn shows in its own channel alone.
        assert clean.imu[i, 2].mean() > 5
        assert np.linalg.norm(clean.imu[i, :3].mean(axis=1)) == pytest.approx(9.81, rel=0.05)
        assert np.abs(clean.imu[i].mean(axis=1) - truth.mean(axis=1)).max() < 0.1
        for channel in range(3, 6):
            assert np.corrcoef(clean.imu[i, channel], truth[channel])[0, 1] > 0.97
    assert {row["imu_frame"] for row in clean.rows} == {"device"}


def test_sentences_stand_where_they_were_said(clean: Published[GoProTake]) -> None:
    for take in clean.takes.values():
        rows = clean.rows_of(take)
        assert sorted((row["narration_ns"], row["text_raw"]) for row in rows) == said(take)
        assert {row["take_name"] for row in rows} == {take.take_name}
    (chaptered,) = (take for take in clean.takes.values() if len(take.clips) == 2)
    seam_ns = chaptered.clips[1].start_ns
    rows = clean.rows_of(chaptered)
    assert any(row["start_ns"] < seam_ns < row["end_ns"] for row in rows)
    assert {row["pass_uid"] for row in rows} == {"GX010001.vtt", "GX020001.vtt"}
    sources = {row["text_source"] for row in clean.rows}
    assert sources == {"webvtt", "srt", "csv"}


def test_the_audit_finds_no_lag(clean: Published[GoProTake]) -> None:
    found = {row["take_name"]: row["take_lag_ns"] for row in clean.rows}
    assert len(found) == CLEAN
    for name, lag_ns in found.items():
        assert lag_ns is not None, name
        assert abs(lag_ns) < 20 * NS_PER_MS, name
    assert not any(row["sync_suspect"] for row in clean.rows)


@pytest.mark.long
def test_counts_add_up(faulty: Published[GoProTake]) -> None:
    summary = faulty.summary
    lost = sum(summary.dropped.values()) + sum(summary.quarantined.values())
    assert summary.planned == summary.stored + lost
    assert verify_version(faulty.root.parent / "store", summary.version) == []
    has = faulty.imu.any(axis=(1, 2))
    assert has.tolist() == [row["has_imu"] for row in faulty.rows]


@pytest.mark.long
def test_takes_without_fault_are_untouched(
    clean: Published[GoProTake], faulty: Published[GoProTake]
) -> None:
    # The split depends on who else is there.
    for take in clean.takes.values():
        expected, got = (
            [{**row, "split": None} for row in version.rows_of(take)] for version in (clean, faulty)
        )
        assert got == expected
        windows = [
            version.imu[[row["take_uid"] == take.take_uid for row in version.rows]]
            for version in (clean, faulty)
        ]
        np.testing.assert_array_equal(windows[0], windows[1])


@pytest.mark.long
def test_quarantined_takes_are_the_documented_ones(faulty: Published[GoProTake]) -> None:
    table = pq.read_table(faulty.version / "quarantine.parquet").to_pylist()
    reasons = {row["take_uid"]: row["reason"] for row in table}
    assert reasons == {
        faulty.of_fault(fault.name).take_uid: fault.reason
        for fault in FAULTS.values()
        if fault.outcome == "quarantined"
    }
    for fault in FAULTS.values():
        rows = faulty.rows_of(faulty.of_fault(fault.name))
        assert bool(rows) != (fault.outcome == "quarantined"), fault.name
    assert "Traceback" not in json.dumps(table)
    assert str(faulty.root) not in json.dumps(table)


@pytest.mark.long
def test_dropped_and_ignored_are_the_documented_ones(faulty: Published[GoProTake]) -> None:
    expected = {f.reason for f in FAULTS.values() if f.outcome == "dropped"}
    outside = faulty.of_fault("narration_outside")
    short = faulty.of_fault("imu_short")
    end_ns = short.clips[-1].end_ns - 6 * NS_PER_S
    late = [t_ns for t_ns, _ in said(short) if t_ns >= end_ns]
    assert set(faulty.summary.dropped) == expected | {"narration_outside_take"}
    assert faulty.summary.dropped["narration_outside_take"] == 2 + len(late)
    assert faulty.summary.ignored == {"caption_empty": 1}
    assert len(faulty.rows_of(outside)) == len(outside.cues) - 2
    assert max(row["end_ns"] for row in faulty.rows_of(short)) <= end_ns
    gap = faulty.of_fault("imu_gap")
    assert gap.gap_ns is not None
    rows = faulty.rows_of(gap)
    assert len(rows) == len(gap.cues) - faulty.summary.dropped["imu_gap"]
    for row in rows:
        assert row["end_ns"] <= gap.gap_ns[0] or row["start_ns"] >= gap.gap_ns[1]


@pytest.mark.long
def test_surviving_faults_are_stored_right(faulty: Published[GoProTake]) -> None:
    for fault in FAULTS.values():
        take = faulty.of_fault(fault.name)
        rows = faulty.rows_of(take)
        if fault.outcome == "survives":
            found = sorted((row["narration_ns"], row["text_raw"]) for row in rows)
            assert found == said(take), fault.name
        if fault.outcome != "quarantined":
            if fault.name != "imu_late":
                check_windows(lags(faulty, take))
            errors = np.abs(frame_errors_ms(faulty, take)).max()
            uneven = fault.name == "video_variable_rate"
            assert errors <= HALF_FRAME_MS + (0.4 * 1001 / 30 if uneven else 0), fault.name


@pytest.mark.long
def test_surviving_faults_show_where_the_table_says(faulty: Published[GoProTake]) -> None:
    def column(fault: str, name: str) -> list[Any]:
        return [row[name] for row in faulty.rows_of(faulty.of_fault(fault))]

    others = [row for row in faulty.rows if not faulty.takes[row["take_uid"]].fault]
    assert set(column("imu_late", "sync_suspect")) == {True}
    suspects = {row["take_uid"] for row in faulty.rows if row["sync_suspect"]}
    assert suspects == {faulty.of_fault("imu_late").take_uid}
    (lag_ns,) = set(column("imu_late", "take_lag_ns"))
    assert lag_ns == pytest.approx(800 * NS_PER_MS, abs=20 * NS_PER_MS)
    late = lags(faulty, faulty.of_fault("imu_late"))
    assert max(abs(window.lag_ms + 800) for window in late if window.moves) < 5
    assert set(column("video_av1", "decoder")) == {"pyav"}
    even = max(row["frame_error_ns"] for row in others)
    assert max(column("video_variable_rate", "frame_error_ns")) > even + 5 * NS_PER_MS
    assert Counter(column("narration_duplicate", "duplicate_index"))[1] == 1
    assert max(column("text_long", "tokens")) > 77 > max(row["tokens"] for row in others)
    texts = "".join(column("text_scripts", "text"))
    assert "自転車" in texts
    assert "🚪" in texts
