"""Every trouble of the table, one take each: it has its documented outcome, and no more.

The same dataset without faults is the measure: takes that were left alone must come out of both
runs equal to the last bit, and a spoiled take may lose what its fault touches and nothing else.
"""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import zarr

from flows.prepare import prepare
from pipelines.stores.verify import verify_version
from pipelines.synthetic.egoexo4d import write_egoexo4d, write_metadata, write_take
from pipelines.synthetic.faults import FAULTS, Fault, faults_of
from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.registry import SYNTHETIC
from pipelines.synthetic.truth import DatasetTruth, TakeTruth, read_truth
from pipelines.text.clean import clean_text
from schemas.store import ARRAYS, QUARANTINE, SEGMENTS
from schemas.time import NS_PER_MS
from tests.integration.alignment import (
    STEP_MS,
    TOLERANCE_MS,
    fine_truth,
    lag_ms,
    true_device_ns,
    used_frames,
)
from tests.integration.conftest import make_config

pytestmark = pytest.mark.slow

_TAKES, _SECONDS, _SEED, _PX = 27, 13.0, 8, 176
OURS = faults_of("egoexo4d")
Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A published version, and what its program said."""

    root: Path
    version: Path
    summary: dict[str, Any]
    stderr: str
    truth: DatasetTruth
    rows: pl.DataFrame
    imu: npt.NDArray[np.float32]
    video: npt.NDArray[np.float16]
    text: npt.NDArray[np.float16]
    valid: npt.NDArray[np.bool_]

    def take(self, fault: str) -> TakeTruth:
        return next(take for take in self.truth.takes if take.fault == fault)

    def of(self, uid: str) -> Rows:
        return self.rows.filter(pl.col("take_uid") == uid).to_dicts()


def read_run(root: Path, store: Path, summary: dict[str, Any], stderr: str = "") -> Run:
    version = store / "versions" / summary["version"]
    arrays = zarr.open_group(version / ARRAYS, mode="r")
    return Run(
        root=root,
        version=version,
        summary=summary,
        stderr=stderr,
        truth=read_truth(root),
        rows=pl.read_parquet(version / SEGMENTS),
        **{name: np.asarray(arrays[name]) for name in ("imu", "video", "text", "valid")},
    )


@pytest.fixture(scope="module")
def faulty_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faulty") / "data"
    write_egoexo4d(
        root,
        takes=_TAKES,
        seconds=_SECONDS,
        seed=_SEED,
        participants=2,
        workers=2,
        faults=["all"],
        small_px=_PX,
    )
    return root


@pytest.fixture(scope="module")
def faulty(faulty_root: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The program itself, so that its stderr is there to read."""
    store = tmp_path_factory.mktemp("faulty_store")
    command = [sys.executable, "-m", "flows.cli", "run", "--dataset", "egoexo4d", "--json"]
    command += ["--root", str(faulty_root), "--store", str(store), "--encoder", str(tiny_encoder)]
    command += ["--executor", "inline", "--set", "max_quarantine=0.9"]
    command += ["--set", "splits.shares=[0.5,0.0,0.5]"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return read_run(faulty_root, store, json.loads(done.stdout), done.stderr)


@pytest.fixture(scope="module")
def clean(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same dataset without faults; only takes that are compared have files, to save time."""
    root = tmp_path_factory.mktemp("clean") / "data"
    spoilt, truth = (
        plan_dataset(takes=_TAKES, seconds=_SECONDS, seed=_SEED, participants=2, faults=faults)
        for faults in (["all"], [])
    )
    write_metadata(root, truth=truth)
    for take, other in zip(truth.takes, spoilt.takes, strict=True):
        if other.fault in (None, "imu_gap", "imu_short"):
            write_take(root, (take, _PX, False))
    (root / "truth.json").write_text(truth.model_dump_json())
    store = tmp_path_factory.mktemp("clean_store")
    summary = prepare(make_config(root, encoder=tiny_encoder, store=store, max_quarantine=0.95))
    return read_run(root, store, summary.model_dump(mode="json"))


def annotations(root: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for split in ("train", "val"):
        path = root / "annotations" / f"atomic_descriptions_{split}.json"
        found |= json.loads(path.read_text())["annotations"]
    return found


def accepted(root: Path, uid: str) -> Rows:
    return [
        sentence
        for entry in annotations(root)[uid]
        if not entry["rejected"]
        for sentence in entry["descriptions"]
    ]


def test_every_fault_of_the_table_is_planted_once(faulty: Run) -> None:
    planted = Counter(take.fault for take in faulty.truth.takes)
    assert planted == Counter({**dict.fromkeys(OURS, 1), None: _TAKES - len(OURS)})
    assert len(OURS) >= 25
    assert {fault.dataset for fault in FAULTS} == set(SYNTHETIC)


def test_takes_without_fault_are_equal_to_the_last_bit(faulty: Run, clean: Run) -> None:
    for take in (take for take in faulty.truth.takes if take.fault is None):
        assert faulty.of(take.take_uid) == clean.of(take.take_uid) != []
        for name in ("imu", "video", "text", "valid"):
            one, other = (
                getattr(run, name)[(run.rows["take_uid"] == take.take_uid).to_numpy()]
                for run in (faulty, clean)
            )
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "fault", [f for f in OURS.values() if f.outcome == "quarantined"], ids=lambda f: f.name
)
def test_quarantined(faulty: Run, fault: Fault) -> None:
    take = faulty.take(fault.name)
    table = pl.read_parquet(faulty.version / QUARANTINE).filter(pl.col("take_uid") == take.take_uid)
    assert table["reason"].to_list() == [fault.reason]
    assert str(faulty.root) not in table["detail"][0]
    assert take.take_name in table["detail"][0]
    assert faulty.of(take.take_uid) == []


def test_no_other_take_is_quarantined(faulty: Run) -> None:
    expected = Counter(f.reason for f in OURS.values() if f.outcome == "quarantined")
    assert faulty.summary["quarantined_takes"] == expected
    segments: Counter[str] = Counter()
    for take in faulty.truth.takes:
        if take.fault and OURS[take.fault].outcome == "quarantined":
            segments[OURS[take.fault].reason] += len(accepted(faulty.root, take.take_uid))
    assert faulty.summary["quarantined"] == segments


def expected_drops(run: Run, clean: Run) -> Counter[str]:
    """What a plain loop over annotations and truth finds, take by take."""
    drops: Counter[str] = Counter()
    for take in run.truth.takes:
        fault = OURS[take.fault] if take.fault else None
        if fault is not None and fault.outcome == "quarantined":
            continue
        # The file's own rate: 30000/1001 frames a second last longer.
        end_s = take.frames * (1.001 if take.fault == "video_2997" else 1.0) / 30
        for sentence in accepted(run.root, take.take_uid):
            if not 0 <= sentence["timestamp"] < end_s:
                drops["narration_outside_take"] += 1
            elif not clean_text(sentence["text"], rule="default"):
                drops["text_empty"] += 1
        for row in clean.of(take.take_uid):
            if reason := touches(take, row):
                drops[reason] += 1
    return drops


def touches(take: TakeTruth, row: dict[str, Any]) -> str:
    """Which fault of the IMU a window meets: between its first and its last sample."""
    ends = np.array([row["start_ns"], row["end_ns"] - STEP_MS * NS_PER_MS])
    low, high = true_device_ns(take, ends).tolist()
    if take.imu_gap_ns and low < take.imu_gap_ns[1] and high > take.imu_gap_ns[0]:
        return "imu_gap"
    return "imu_missing" if take.fault == "imu_short" and high > imu_end_ns(take) else ""


def imu_end_ns(take: TakeTruth) -> float:
    stream = next(s for s in take.imu if s.label == "imu-right")
    return stream.first_ns + stream.samples / stream.rate_hz * 1e9


def test_drops_are_those_a_plain_loop_finds(faulty: Run, clean: Run) -> None:
    drops = expected_drops(faulty, clean)
    assert faulty.summary["dropped"] == drops
    assert {f.reason for f in OURS.values() if f.outcome == "dropped"} == set(drops)
    assert min(drops.values()) >= 1


@pytest.mark.parametrize("name", ["imu_gap", "imu_short"])
def test_imu_faults_take_only_the_windows_they_touch(faulty: Run, clean: Run, name: str) -> None:
    take = faulty.take(name)
    kept = {row["segment_id"] for row in faulty.of(take.take_uid)}
    before = {row["segment_id"] for row in clean.of(take.take_uid)}
    assert kept < before
    assert kept
    for row in clean.of(take.take_uid):
        assert (row["segment_id"] in kept) == (touches(take, row) == "")


@pytest.mark.parametrize(
    "fault",
    [f for f in OURS.values() if f.outcome in ("survives", "ignored")],
    ids=lambda f: f.name,
)
def test_survivors_store_every_sentence_within_the_take(faulty: Run, fault: Fault) -> None:
    take = faulty.take(fault.name)
    end_s = take.frames * (1.001 if fault.name == "video_2997" else 1.0) / 30
    expected = Counter(
        sentence["text"]
        for sentence in accepted(faulty.root, take.take_uid)
        if 0 <= sentence["timestamp"] < end_s and clean_text(sentence["text"], rule="default")
    )
    rows = faulty.of(take.take_uid)
    assert Counter(row["text_raw"] for row in rows) == expected
    assert bool(expected) == (fault.name != "passes_rejected")
    assert all(row["has_imu"] and row["has_video"] and row["has_text"] for row in rows)


def test_survivors_show_their_fault_in_the_named_column(faulty: Run) -> None:
    shown = {
        name: {row[fault.shown_by] for row in faulty.of(faulty.take(name).take_uid)}
        for name, fault in OURS.items()
        if fault.outcome == "survives" and fault.shown_by
    }
    assert set(shown) == {
        "imu_nan", "imu_late", "video_av1", "narration_duplicate", "text_long",
    }  # fmt: skip
    # One sample of either sensor in 400.
    assert all(0.001 < share < 0.004 for share in shown["imu_nan"])
    assert shown["imu_late"] == {True}
    assert shown["video_av1"] == {"pyav"}
    assert shown["narration_duplicate"] == {0, 1}
    assert max(shown["text_long"]) > 77
    (late,) = {row["take_lag_ns"] for row in faulty.of(faulty.take("imu_late").take_uid)}
    assert late == pytest.approx(800e6, abs=20e6)
    others = [t for t in faulty.truth.takes if t.fault is None]
    assert {row["sync_suspect"] for t in others for row in faulty.of(t.take_uid)} == {False}
    suspects = {row["take_uid"] for row in faulty.rows.to_dicts() if row["sync_suspect"]}
    assert suspects == {faulty.take("imu_late").take_uid}
    assert {row["decoder"] for t in others for row in faulty.of(t.take_uid)} == {"pyav"}


def test_windows_of_all_other_takes_lie_where_the_truth_has_them(faulty: Run) -> None:
    truths = {take.take_uid: take for take in faulty.truth.takes}
    # Late stamps are late; at 29.97 frames a second the take clock runs otherwise.
    apart = {"imu_late": 800.0, "video_2997": None}
    fine: dict[str, npt.NDArray[np.float64]] = {}
    checked = Counter[str]()
    # Every third is enough to meet each take.
    for i, row in list(enumerate(faulty.rows.iter_rows(named=True)))[::3]:
        take = truths[row["take_uid"]]
        wanted = apart.get(take.fault or "", 0.0)
        if wanted is None:
            continue
        if take.take_uid not in fine:
            fine = {take.take_uid: fine_truth(take)}
        lag = lag_ms(fine[take.take_uid], faulty.imu[i].T.astype(float), start_ns=row["start_ns"])
        assert lag == pytest.approx(-wanted, abs=TOLERANCE_MS), take.fault
        checked[take.fault or "none"] += 1
    assert len(checked) >= 12


def test_windows_at_2997_follow_the_rows_not_the_rate(faulty: Run) -> None:
    take = faulty.take("video_2997")
    fine = fine_truth(take)
    for i, row in enumerate(faulty.rows.iter_rows(named=True)):
        if row["take_uid"] != take.take_uid:
            continue
        # Frame i stands at i * 1001/30000 s; the truth's clock has it at i / 30 s.
        middle_ns = (row["start_ns"] + row["end_ns"]) / 2
        wanted_ms = (middle_ns / 1.001 - middle_ns) / 1e6
        lag = lag_ms(fine, faulty.imu[i].T.astype(float), start_ns=row["start_ns"])
        assert lag == pytest.approx(wanted_ms, abs=TOLERANCE_MS)


def test_every_used_frame_is_the_one_recorded(faulty: Run) -> None:
    found = used_frames(faulty.version, root=faulty.root)
    assert len(found) > 1000
    rotated, av1 = (faulty.take(name).take_name for name in ("video_rotated", "video_av1"))
    assert {rotated, av1} <= {use.take_name for use in found}
    assert [use for use in found if use.code != use.frame_index] == []


def test_ignored_annotations_are_counted(faulty: Run, clean: Run) -> None:
    known = {take.take_uid for take in faulty.truth.takes}
    for run in (faulty, clean):
        ignored: Counter[str] = Counter()
        for uid, passes in annotations(run.root).items():
            if uid not in known:
                ignored["unknown_take"] += len(passes)
            else:
                ignored["rejected_pass"] += sum(entry["rejected"] for entry in passes)
        assert run.summary["ignored"] == ignored
    assert faulty.summary["ignored"]["unknown_take"] == clean.summary["ignored"]["unknown_take"] + 1
    assert faulty.summary["ignored"]["rejected_pass"] > clean.summary["ignored"]["rejected_pass"]


def test_sums_close_and_the_version_verifies(faulty: Run, clean: Run) -> None:
    for run in (faulty, clean):
        said = run.summary
        lost = sum(said["dropped"].values()) + sum(said["quarantined"].values())
        assert said["planned"] == said["stored"] + lost
        assert said["stored"] == run.rows.height
        assert verify_version(run.version.parents[1], said["version"]) == []


def test_no_row_of_zeros_counts_as_real(faulty: Run) -> None:
    for column, name in enumerate(("imu", "video", "text")):
        array = getattr(faulty, name).reshape(len(faulty.valid), -1)
        here = faulty.valid[:, column]
        assert np.isfinite(array).all()
        assert (np.abs(array[here]).max(axis=1) > 0).all()
        assert not array[~here].any()
    # No channel of a window stands still either: a take filled up with zeros would.
    assert (faulty.imu[faulty.valid[:, 0]].std(axis=2) > 0).all()


def test_program_says_no_traceback(faulty: Run) -> None:
    assert "Traceback" not in faulty.stderr
    assert "takes: 27/27" in faulty.stderr
