"""The sync audit on whole takes: a real clip whose IMU is moved, synthetic takes of known truth."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.cli import main
from pipelines.align.sync_audit import SyncAudit, measure_lag
from pipelines.encoders.registry import open_encoder
from pipelines.parts.motion_trace import MotionTrace, read_motion_trace
from pipelines.parts.store import PartStore
from pipelines.prepare import prepare_batch
from pipelines.synthetic.egoexo4d import write_egoexo4d
from tests.integration.conftest import make_config

pytestmark = pytest.mark.slow

MS = 1_000_000
LATE_NS = 800 * MS


def publish(
    root: Path, *, dataset: str, store: Path, encoder: Path, settings: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Run the road and return what it says, with the rows and part keys of the version."""
    code = main(
        ["run", "--dataset", dataset, "--root", str(root), "--store", str(store),
         "--encoder", str(encoder), "--executor", "inline",
         *[word for s in settings for word in ("--set", s)]]
    )  # fmt: skip
    assert code == 0
    latest = json.loads((store / "refs" / "latest.json").read_text())["version"]
    folder = store / "versions" / latest
    run = json.loads((folder / "run.json").read_text())
    return {"rows": pl.read_parquet(folder / "segments.parquet"), "run": run, "version": latest}


@pytest.fixture(scope="module")
def clip(
    shared_data: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> MotionTrace:
    root = tmp_path_factory.mktemp("clip")
    (root / "clips").mkdir()
    shutil.copyfile(shared_data / "gopro_karma.mp4", root / "clips" / "karma.mp4")
    made = publish(
        root / "clips",
        dataset="gopro",
        store=root / "store",
        encoder=tiny_encoder,
        settings=("segments.policy=stride",),
    )
    (keys,) = made["run"]["parts"].values()
    parts = PartStore(root / "store" / "parts")
    return read_motion_trace(parts, imu_key=keys["imu"], frames_key=keys["frames"])


def audit(trace: MotionTrace, *, late_ns: int) -> SyncAudit:
    return measure_lag(
        gyro_t_ns=trace.gyro_t_ns + late_ns,
        gyro_rad_s=trace.gyro_rad_s,
        motion_t_ns=trace.motion_t_ns,
        motion=trace.motion,
    )


@pytest.mark.parametrize("late_ms", [-500, 500])
def test_moving_the_imu_of_a_real_clip_moves_its_lag(clip: MotionTrace, late_ms: int) -> None:
    plain, moved = audit(clip, late_ns=0), audit(clip, late_ns=late_ms * MS)
    assert plain.lag_ns is not None
    assert abs(plain.lag_ns) < 50 * MS
    assert moved.lag_ns == pytest.approx(plain.lag_ns + late_ms * MS, abs=20 * MS)
    assert min(plain.confidence, moved.confidence) > 0.5


def test_real_clip_with_its_motion_shuffled_tells_nothing(clip: MotionTrace) -> None:
    order = np.random.default_rng(0).permutation(np.arange(1, len(clip.motion)))
    mixed = MotionTrace(
        gyro_t_ns=clip.gyro_t_ns,
        gyro_rad_s=clip.gyro_rad_s,
        motion_t_ns=clip.motion_t_ns,
        motion=np.concatenate([clip.motion[:1], clip.motion[order]]),
    )
    assert audit(mixed, late_ns=0).lag_ns is None


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three takes; the IMU stamps of one are 0.8 s late."""
    root = tmp_path_factory.mktemp("late") / "dataset"
    write_egoexo4d(
        root, takes=3, seconds=12.0, seed=4, participants=2, workers=2, faults=("imu_late",)
    )
    return root


@pytest.fixture(scope="module")
def late_take(dataset: Path) -> str:
    truth = json.loads((dataset / "truth.json").read_text())
    (late,) = [take["take_uid"] for take in truth["takes"] if take["fault"] == "imu_late"]
    return str(late)


SETTINGS = ("segments.policy=stride", "segments.stride_ms=1000", "splits.shares=[0.5,0.0,0.5]")


@pytest.fixture(scope="module")
def measured(dataset: Path, tiny_encoder: Path) -> dict[str, Any]:
    return publish(
        dataset,
        dataset="egoexo4d",
        store=dataset.parent / "store",
        encoder=tiny_encoder,
        settings=SETTINGS,
    )


def test_late_take_alone_is_suspect(measured: dict[str, Any], late_take: str) -> None:
    takes = measured["rows"].group_by("take_uid").agg(pl.all().first())
    assert takes.height == 3
    for row in takes.iter_rows(named=True):
        late = row["take_uid"] == late_take
        assert row["sync_suspect"] == late
        assert row["take_lag_ns"] == pytest.approx(LATE_NS if late else 0, abs=15 * MS)
        assert row["take_lag_confidence"] > 0.8
        assert row["imu_correction_ns"] == 0
    local = measured["rows"].with_columns(off=pl.col("segment_lag_ns") - pl.col("take_lag_ns"))
    assert local["segment_lag_ns"].null_count() == 0
    assert local["off"].abs().max() <= 20 * MS


def test_audit_is_measured_with_the_parts_and_never_again(
    measured: dict[str, Any], dataset: Path, tiny_encoder: Path
) -> None:
    folder = dataset.parent / "store" / "parts" / "lag"
    kept = {path: path.read_bytes() for path in folder.rglob("*.json")}
    assert len(kept) == 3
    shutil.rmtree(folder)
    config = make_config(dataset, encoder=tiny_encoder, store=dataset.parent / "store")
    encoder = open_encoder(config.encoder)
    assert encoder is not None
    uids = measured["rows"]["take_uid"].unique().to_list()
    # The worker's own doing, before any version is assembled.
    assert all(
        outcome.status == "ready" and not outcome.computed and "audit" in outcome.work
        for outcome in prepare_batch(config, uids, encoder_spec=encoder.spec, run="again")
    )
    assert {path: path.read_bytes() for path in folder.rglob("*.json")} == kept
    before = [(path, path.stat().st_mtime_ns) for path in kept]
    again = publish(
        dataset,
        dataset="egoexo4d",
        store=dataset.parent / "store",
        encoder=tiny_encoder,
        settings=(*SETTINGS, "segments.length_ms=4000"),
    )
    assert again["run"]["computed_takes"] == 0
    assert [(path, path.stat().st_mtime_ns) for path in kept] == before
    assert len(list(folder.rglob("*.json"))) == 3


def test_correction_makes_the_late_takes_windows_those_of_the_true_clock(
    measured: dict[str, Any], dataset: Path, tiny_encoder: Path, late_take: str
) -> None:
    corrected = publish(
        dataset,
        dataset="egoexo4d",
        store=dataset.parent / "store",
        encoder=tiny_encoder,
        settings=(*SETTINGS, "audit.correct=true"),
    )
    assert corrected["version"] != measured["version"]
    assert corrected["run"]["computed_takes"] == 0
    moved = corrected["rows"].group_by("take_uid").agg(pl.col("imu_correction_ns").unique())
    for row in moved.iter_rows(named=True):
        (moved_ns,) = row["imu_correction_ns"]
        wanted = LATE_NS if row["take_uid"] == late_take else 0
        assert moved_ns % (20 * MS) == 0
        assert moved_ns == pytest.approx(wanted, abs=20 * MS)
    # The IMU ends with the picture: the last 0.8 s would need what was never recorded.
    dropped = measured["rows"].height - corrected["rows"].height
    assert dropped == 1
