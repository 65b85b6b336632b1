import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.base import Catalogue
from pipelines.datasets.realworld import RealWorldReader
from pipelines.synthetic.faults import faults_of
from pipelines.synthetic.realworld import write_realworld
from pipelines.synthetic.realworld_truth import (
    plan_realworld,
    read_realworld_truth,
    realworld_signal,
    recorded_ms,
)
from schemas.errors import UsageError


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def read_catalogue(root: Path, *positions: str) -> Catalogue:
    config = DatasetConfig.model_validate(
        {"name": "realworld", "root": root, "positions": positions or ("head",)}
    )
    reader = RealWorldReader(config, imu=ImuConfig(), video=VideoConfig(), text=TextConfig())
    return reader.read_catalogue()


def test_equal_arguments_give_equal_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_realworld(tmp_path / name, takes=1, seconds=1, seed=seed, participants=1)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")


@pytest.mark.long
def test_processes_write_the_same_bytes(tmp_path: Path) -> None:
    for workers in (1, 2):
        write_realworld(
            tmp_path / str(workers), takes=2, seconds=2, seed=0, participants=1, workers=workers
        )
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_rows_are_the_signal_at_their_stamps(tmp_path: Path) -> None:
    write_realworld(tmp_path, takes=2, seconds=4, seed=0, participants=2)
    truth = read_realworld_truth(tmp_path)
    recording = truth.recordings[1]
    assert (recording.proband, recording.activity_name) == (5, "climbingdown")
    part = recording.parts[0]
    with zipfile.ZipFile(tmp_path / "proband5/data/gyr_climbingdown_csv.zip") as archive:
        assert len(archive.namelist()) == 8
        data = archive.read("Gyroscope_climbingdown_waist.csv").decode()
    header, *lines = data.splitlines()
    assert header == "id,attr_time,attr_x,attr_y,attr_z"
    table = np.array([[float(cell) for cell in line.split(",")] for line in lines])
    stamps_ns = (table[:, 1] * 1e6).astype(np.int64)
    felt = realworld_signal(part, position="waist", device_ns=stamps_ns)
    # Stamps are rounded to ms and the sensor is noisy: a few hundredths of rad/s.
    assert np.abs(table[:, 2:] - felt[:, 3:]).max() < 0.15
    device = part.device("waist")
    assert len(table) == device.gyr.samples
    assert np.median(np.diff(table[:, 1])) == pytest.approx(20, abs=1.5)
    assert stamps_ns[0] < device.origin_ns
    assert stamps_ns[-1] > device.origin_ns + 4e9
    # Phones have clocks of their own, seconds apart.
    assert np.ptp([d.origin_ns for d in part.devices]) > 1e9


@pytest.mark.slow
def test_the_oddities_of_the_real_files_are_there(tmp_path: Path) -> None:
    write_realworld(tmp_path, takes=9 * 8, seconds=1, seed=0, participants=9)
    found = read_catalogue(tmp_path, "head", "forearm", "thigh")
    uids = {take.take_uid for take in found.takes}
    for proband in (4, 7, 14):
        for activity in ("climbingdown", "climbingup"):
            for part in (1, 2, 3):
                assert f"proband{proband}-{activity}-{part}-head" in uids
    strays = {uid for uid in uids if "-2-head" in uid and "climbing" not in uid}
    assert strays == {
        "proband4-walking-2-head",
        "proband6-sitting-2-head",
        "proband7-sitting-2-head",
    }
    assert set(found.faults) == {"proband2-climbingup-1-forearm", "proband6-jumping-1-thigh"}
    assert len(found.takes) == 3 * (9 * 8 + 3 * 2 * 2)
    with zipfile.ZipFile(tmp_path / "proband4/data/gyr_climbingup_csv.zip") as archive:
        names = archive.namelist()
        inner = zipfile.ZipFile(io.BytesIO(archive.read(names[0])))
    assert names == [f"gyr_climbingup{n}_csv.zip" for n in ("", "_2", "_3")]
    assert "Gyroscope_climbingup_head.csv" in inner.namelist()
    assert (tmp_path / "proband14/data/acc_climbingup_1_csv.zip").is_file()


def test_truth_states_the_stamps_in_the_file() -> None:
    ms = recorded_ms(np.array([1_499_999, 1_500_000, 2_000_000], np.int64))
    assert ms.tolist() == [1, 2, 2]


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"takes": 9, "participants": 1}, "takes must be 1 to 8 for each"),
        ({"participants": 16}, "participants must be 1 to 15, got 16"),
        ({"seconds": 0.5}, "seconds must be at least 1"),
        ({"faults": ["vrs_missing"]}, "faults of realworld must be among"),
        ({"faults": ["all"], "takes": 3}, "must be no more than takes=3, got 4"),
    ],
)
def test_arguments_that_cannot_be(fields: dict[str, object], match: str) -> None:
    given = {"takes": 8, "seconds": 5.0, "seed": 0, "participants": 4, "faults": (), **fields}
    with pytest.raises(UsageError, match=match):
        plan_realworld(**given)  # type: ignore[arg-type]


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="must be new or empty"):
        write_realworld(tmp_path, takes=1, seconds=1, seed=0)
    assert digests(tmp_path).keys() == {"mine.txt"}


def test_every_fault_is_planted_once(tmp_path: Path) -> None:
    write_realworld(tmp_path, takes=4, seconds=3, seed=0, participants=2, faults=["all"])
    truth = read_realworld_truth(tmp_path)
    assert {r.fault for r in truth.recordings} == set(faults_of("realworld"))
