"""From synthetic RealWorld HAR archives to a store of IMU alone, against the truth."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from flows.prepare import RunSummary, prepare
from pipelines.config import PrepConfig
from pipelines.stores.verify import verify_version
from pipelines.synthetic.faults import faults_of
from pipelines.synthetic.realworld import write_realworld
from pipelines.synthetic.realworld_truth import (
    RealWorldPart,
    RealWorldTruth,
    read_realworld_truth,
    realworld_signal,
    recorded_ms,
)
from pipelines.synthetic.truth import imu_sample_ns
from primus_train.data.store import StoreData, open_store
from schemas.manifest import Counts
from schemas.time import NS_PER_MS, NS_PER_S

pytestmark = pytest.mark.slow

STEP_NS = 20 * NS_PER_MS


def publish(root: Path, store: Path, **dataset: object) -> RunSummary:
    config = PrepConfig.model_validate(
        {
            "dataset": {"name": "realworld", "root": root, **dataset},
            "store": {"uri": str(store), "tag": "latest"},
            "execution": {"executor": "inline"},
            "max_quarantine": 0.5,
        }
    )
    return prepare(config)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[RealWorldTruth, StoreData, Path]:
    folder = tmp_path_factory.mktemp("realworld")
    write_realworld(folder / "data", takes=8, seconds=12, seed=1, participants=4)
    summary = publish(folder / "data", folder / "store")
    assert verify_version(folder / "store", summary.version) == []
    truth = read_realworld_truth(folder / "data")
    return truth, open_store(f"{folder / 'store'}@latest"), folder


def parts_of(truth: RealWorldTruth) -> dict[str, RealWorldPart]:
    return {
        f"proband{r.proband}-{r.activity_name}-{p.part}-head": p
        for r in truth.recordings
        for p in r.parts
    }


def smooth(window: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # A boxcar of 0.2 s: what 50 Hz and straight lines between samples keep faithfully.
    kernel = np.ones(11) / 11
    return np.stack([np.convolve(row, kernel, mode="valid") for row in window])


def lag_ns(
    window: npt.NDArray[np.float32], *, part: RealWorldPart, position: str, start_ns: int
) -> tuple[int, float]:
    """Return the shift of the truth that fits a window best, and its correlation there."""
    device = part.device(position)
    firsts = [int(recorded_ms(imu_sample_ns(s)).min()) for s in (device.acc, device.gyr)]
    zero_ns = max(firsts) * NS_PER_MS
    t_ns = zero_ns + start_ns + np.arange(window.shape[1]) * STEP_NS
    seen = smooth(window.astype(np.float64))
    seen = seen - seen.mean(axis=1, keepdims=True)
    best = (0, -1.0)
    for shift_ns in range(-40 * NS_PER_MS, 41 * NS_PER_MS, 2 * NS_PER_MS):
        felt = smooth(realworld_signal(part, position=position, device_ns=t_ns + shift_ns).T)
        felt = felt - felt.mean(axis=1, keepdims=True)
        per_channel = (seen * felt).sum(axis=1) / np.sqrt(
            (seen**2).sum(axis=1) * (felt**2).sum(axis=1)
        )
        if per_channel.mean() > best[1]:
            best = (shift_ns, float(per_channel.mean()))
    return best


def test_windows_are_the_true_motion(made: tuple[RealWorldTruth, StoreData, Path]) -> None:
    truth, store, _ = made
    parts = parts_of(truth)
    rows = pl.DataFrame(store.table.to_pydict())
    for i in range(0, rows.height, 5):
        window = store.imu[i].numpy()
        part = parts[rows["take_uid"][i]]
        shift_ns, r = lag_ns(window, part=part, position="head", start_ns=rows["start_ns"][i])
        assert abs(shift_ns) < 5 * NS_PER_MS, rows["take_uid"][i]
        assert r > 0.99
    assert np.median(np.linalg.norm(store.imu[:, :3].numpy(), axis=1)) == pytest.approx(9.8, abs=1)


def test_another_parts_motion_fits_nowhere(made: tuple[RealWorldTruth, StoreData, Path]) -> None:
    truth, store, _ = made
    other = parts_of(truth)["proband4-climbingdown-2-head"]
    own = store.table["take_uid"].to_pylist().index("proband4-climbingdown-1-head")
    _, r = lag_ns(store.imu[own].numpy(), part=other, position="head", start_ns=0)
    assert r < 0.9


def test_store_is_of_imu_alone_with_labels_and_subject_splits(
    made: tuple[RealWorldTruth, StoreData, Path],
) -> None:
    _, store, _ = made
    assert store.manifest.encoder is None
    assert store.video.shape == (len(store.imu), 0)
    assert store.valid.tolist() == [[True, False, False]] * len(store.imu)
    rows = pl.DataFrame(store.table.to_pydict())
    # 12-s parts hold two windows of 5 s without overlap; proband 4's climbing has three parts.
    assert rows.height == 2 * (6 + 2 * 3)
    assert set(rows["start_ns"]) == {0, 5 * NS_PER_S}
    assert set(rows["overlaps"]) == {0}
    assert set(rows["imu_frame"]) == {"sensor"}
    assert set(rows["imu_stream"]) == {"head"}
    assert set(rows["label"]) == {"climbing down", "climbing up"}
    for uid, label in rows.select("take_uid", "label").unique().rows():
        assert ("climbing down" if "climbingdown" in uid else "climbing up") == label
    splits = dict(rows.select("participant", "split").unique().rows())
    assert splits["realworld:5"] == splits["realworld:10"] == "test"
    assert sorted(splits.values()) == ["test", "test", "train", "val"]
    assert store.manifest.counts.split_participants == {"test": 2, "train": 1, "val": 1}
    assert store.manifest.counts.shared_participants == 0


def test_positions_are_chosen_by_config(
    made: tuple[RealWorldTruth, StoreData, Path], tmp_path: Path
) -> None:
    truth, _, folder = made
    publish(folder / "data", tmp_path, positions=["shin", "waist"], limit=4)
    store = open_store(f"{tmp_path}@latest")
    uids = store.table["take_uid"].to_pylist()
    assert {uid.rpartition("-")[2] for uid in uids} == {"shin", "waist"}
    i = next(k for k, uid in enumerate(uids) if uid.endswith("waist"))
    part = parts_of(truth)[uids[i].replace("waist", "head")]
    shift_ns, r = lag_ns(
        store.imu[i].numpy(),
        part=part,
        position="waist",
        start_ns=store.table["start_ns"][i].as_py(),
    )
    assert abs(shift_ns) < 5 * NS_PER_MS
    assert r > 0.99


def test_every_fault_ends_as_the_table_of_faults_says(tmp_path: Path) -> None:
    faults = faults_of("realworld")
    write_realworld(tmp_path / "data", takes=8, seconds=12, seed=0, participants=4, faults=["all"])
    publish(tmp_path / "data", tmp_path / "store")
    store = open_store(f"{tmp_path / 'store'}@latest")
    counts: Counts = store.manifest.counts
    truth = read_realworld_truth(tmp_path / "data")
    spoiled = {
        r.fault: f"proband{r.proband}-{r.activity_name}-1-head" for r in truth.recordings if r.fault
    }
    rows = pl.DataFrame(store.table.to_pydict())
    stored = {uid: rows.filter(pl.col("take_uid") == uid) for uid in spoiled.values()}
    parts = {r.fault: len(r.parts) for r in truth.recordings if r.fault}
    assert counts.quarantined_takes == {
        faults["imu_file_missing"].reason: parts["imu_file_missing"]
    }
    # The gap at 6 s falls into the second window of every part.
    assert counts.dropped == {faults["imu_gap"].reason: parts["imu_gap"]}
    assert stored[spoiled["imu_gap"]]["start_ns"].to_list() == [0]
    assert stored[spoiled["imu_file_missing"]].height == 0
    for name in ("imu_backward", "imu_nan"):
        assert stored[spoiled[name]].height == 2, name
        part = parts_of(truth)[spoiled[name]]
        for i in np.flatnonzero((rows["take_uid"] == spoiled[name]).to_numpy()):
            shift_ns, r = lag_ns(
                store.imu[int(i)].numpy(),
                part=part,
                position="head",
                start_ns=rows["start_ns"][int(i)],
            )
            assert abs(shift_ns) < 5 * NS_PER_MS, name
            assert r > 0.98, name
    invalid = stored[spoiled["imu_nan"]][faults["imu_nan"].shown_by]
    assert (invalid > 0).all()
    spoiled_recording = spoiled["imu_nan"].rpartition("-1-")[0]
    others = rows.filter(~pl.col("take_uid").str.starts_with(spoiled_recording))
    assert (others[faults["imu_nan"].shown_by] == 0).all()
