"""From a folder of one's own data to a store, against the truth."""

import json
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import polars as pl
import pytest

from flows.prepare import prepare
from pipelines.config import load_config
from pipelines.datasets.folder import NARRATION_COLUMNS, TAKE_COLUMNS
from pipelines.imu.table_imu import TABLE_COLUMNS
from pipelines.parts.store import PartStore
from pipelines.stores.verify import verify_version
from pipelines.synthetic.faults import Fault, faults_of
from pipelines.synthetic.folder import write_folder
from pipelines.synthetic.folder_truth import FolderTruth, folder_signal, read_folder_truth
from pipelines.synthetic.timecode import decode_timecode
from primus_train.data.store import StoreData, open_store
from schemas.time import NS_PER_MS, NS_PER_S

pytestmark = pytest.mark.slow

DOC = (Path(__file__).parents[2] / "docs" / "own-data.md").read_text(encoding="utf-8")
STEP_NS = 20 * NS_PER_MS


def publish(root: Path, store: Path, encoder: Path, **overrides: Any) -> StoreData:
    given = {
        "dataset.name": "folder",
        "dataset.root": str(root),
        "encoder.name": str(encoder),
        "store.uri": str(store),
        "execution.executor": "inline",
        "max_quarantine": 1.0,
    }
    summary = prepare(load_config(None, overrides={**given, **overrides}))
    assert verify_version(store, summary.version) == []
    return open_store(f"{store}@{summary.version}")


def errors_of(store: StoreData, truth: FolderTruth, *, shift_ns: int) -> list[float]:
    """Return each window's rms difference from the shifted truth, slow motion alone, in m/s2."""
    takes = {take.take_uid: take for take in truth.takes}
    kernel = np.ones(11) / 11
    found = []
    for i, row in enumerate(store.table.select(["take_uid", "start_ns"]).to_pylist()):
        t_ns = row["start_ns"] + shift_ns + np.arange(store.imu.shape[2]) * STEP_NS
        felt = folder_signal(takes[row["take_uid"]], t_ns).T[:3]
        seen = store.imu[i].numpy().astype(np.float64)[:3]
        off = [np.convolve(a - b, kernel, mode="valid") for a, b in zip(seen, felt, strict=True)]
        found.append(float(np.sqrt(np.mean(np.square(off)))))
    return found


def test_used_frames_are_those_seen_within_half_a_frame(tmp_path: Path, tiny_encoder: Path) -> None:
    write_folder(tmp_path / "data", takes=2, seconds=7, seed=3, participants=2)
    store = publish(tmp_path / "data", tmp_path / "store", tiny_encoder)
    run = json.loads(
        (tmp_path / "store" / "versions" / store.version / "run.json").read_text(encoding="utf-8")
    )
    videos = [s for s in store.manifest.sources if s.path.endswith(".mp4")]
    assert len(videos) == 2
    for video in videos:
        key = run["parts"][video.take_uid]["frames"]
        part = PartStore(Path(run["parts_uri"])).read_table("frames", key)
        assert part["t_ns"].to_pylist() == list(range(0, 7 * NS_PER_S, 100 * NS_PER_MS))
        with av.open(str(tmp_path / "data" / video.path)) as container:
            drawn = [
                decode_timecode(np.asarray(frame.to_ndarray(format="gray"), dtype=np.uint8))
                for frame in container.decode(video=0)
            ]
        # The number drawn into the picture says when it was seen.
        seen_ns = np.array([drawn[i] for i in part["frame_index"].to_pylist()]) * NS_PER_S / 30
        assert np.abs(seen_ns - part["t_ns"].to_numpy()).max() <= NS_PER_S / 60


def test_store_holds_the_true_motion_and_every_sentence(tmp_path: Path, tiny_encoder: Path) -> None:
    write_folder(tmp_path / "data", takes=3, seconds=7, seed=2, participants=3)
    truth = read_folder_truth(tmp_path / "data")
    store = publish(tmp_path / "data", tmp_path / "store", tiny_encoder)
    rows = pl.DataFrame(store.table.to_pydict())
    assert store.valid.all()
    assert rows.height == truth.narrations["known"]
    assert set(rows["imu_frame"]) == {"device"}
    assert sorted(rows["participant"].unique()) == ["folder:101", "folder:102", "folder:103"]
    # CSV and Parquet, stamps from zero and from 1970: all on one clock.
    errors, before, after = (
        np.array(errors_of(store, truth, shift_ns=shift_ns))
        for shift_ns in (0, -5 * NS_PER_MS, 5 * NS_PER_MS)
    )
    assert errors.max() < 0.02
    # Off by 5 ms either way, every window fits worse.
    assert (before > errors).all()
    assert (after > errors).all()
    official = publish(
        tmp_path / "data", tmp_path / "store", tiny_encoder, **{"splits.kind": "official"}
    )
    splits = dict(
        zip(*official.table.select(["take_uid", "split"]).to_pydict().values(), strict=True)
    )
    assert splits == {take.take_uid: take.split for take in truth.takes}


@pytest.mark.long
def test_every_fault_ends_as_the_table_of_faults_says(tmp_path: Path, tiny_encoder: Path) -> None:
    faults = faults_of("folder")
    takes = len(faults) + 1
    write_folder(tmp_path / "data", takes=takes, seconds=16, seed=0, participants=4, faults=["all"])
    truth = read_folder_truth(tmp_path / "data")
    uid_of = {take.fault: take.take_uid for take in truth.takes if take.fault}
    store = publish(tmp_path / "data", tmp_path / "store", tiny_encoder)
    counts = store.manifest.counts
    rows = pl.DataFrame(store.table.to_pydict())
    folder = tmp_path / "store" / "versions" / store.version
    quarantine = pl.read_parquet(folder / "quarantine.parquet")

    def outcomes(outcome: str) -> list[Fault]:
        return [fault for fault in faults.values() if fault.outcome == outcome]

    assert dict(quarantine.select("take_uid", "reason").rows()) == {
        uid_of[fault.name]: fault.reason for fault in outcomes("quarantined")
    }
    assert set(counts.dropped) == {fault.reason for fault in outcomes("dropped")}
    assert counts.ignored == {"unknown_take": truth.narrations["unknown_take"]}
    for fault in outcomes("survives"):
        assert rows.filter(pl.col("take_uid") == uid_of[fault.name]).height > 0, fault.name
    assert counts.planned == counts.stored + sum(counts.dropped.values()) + sum(
        counts.quarantined.values()
    )
    late = rows.filter(pl.col("take_uid") == uid_of["imu_late"])
    assert (late["take_lag_ns"] - 800 * NS_PER_MS).abs().max() < 60 * NS_PER_MS
    assert late["sync_suspect"].all()
    assert rows.filter(pl.col("take_uid") == uid_of["text_long"])["tokens"].max() > 77
    broken = rows.filter(pl.col("take_uid") == uid_of["imu_nan"])["imu_invalid_share"]
    assert (broken > 0).any()
    assert (
        rows.filter(pl.col("take_uid") == truth.takes[0].take_uid)["imu_invalid_share"] == 0
    ).all()
    assert set(rows.filter(pl.col("take_uid") == uid_of["video_av1"])["decoder"]) == {"pyav"}
    scripts = rows.filter(pl.col("take_uid") == uid_of["text_scripts"])["text_raw"]
    assert "C は自転車を直す 🚲" in scripts.to_list()
    twice = rows.filter(pl.col("take_uid") == uid_of["narration_duplicate"])
    assert sorted(twice["duplicate_index"].unique()) == [0, 1]


def test_page_names_every_column() -> None:
    for heading, columns in (
        ("takes.csv", TAKE_COLUMNS),
        ("narrations.csv", NARRATION_COLUMNS),
        ("IMU tables", TABLE_COLUMNS),
    ):
        section = re.split(r"^## ", DOC, flags=re.MULTILINE)
        (text,) = [part for part in section if part.startswith(f"{heading}")]
        named = re.findall(r"^\| `(\w+)`", text, flags=re.MULTILINE)
        assert tuple(named) == columns, heading


def test_the_pages_example_becomes_a_store(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (script,) = re.findall(r"```python\n(# own_data\.py\n.*?)```", DOC, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "own_data.py", "exec"), {})  # noqa: S102
    store = publish(tmp_path / "mydata", tmp_path / "store", tiny_encoder)
    rows = store.table.to_pylist()
    assert [row["text"] for row in rows] == ["lifts the box", "puts the box down"]
    assert json.dumps(store.manifest.counts.dropped) == "{}"
    assert store.valid.all()
