import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipelines.align.clock import TakeClock
from pipelines.imu.table_imu import read_table_runs
from pipelines.synthetic.folder import write_folder
from pipelines.synthetic.folder_truth import (
    folder_signal,
    folder_stamps,
    plan_folder,
    read_folder_truth,
)
from schemas.errors import UsageError
from schemas.time import NS_PER_MS, NS_PER_S, Interval


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow
def test_equal_arguments_give_equal_bytes_and_the_truth_is_in_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_folder(tmp_path / name, takes=2, seconds=2, seed=3, participants=1)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    truth = read_folder_truth(tmp_path / "a")
    assert [Path(take.imu).suffix for take in truth.takes] == [".parquet", ".csv"]
    for take in truth.takes:
        clock = TakeClock.identity(Interval(0, 2 * NS_PER_S))
        runs = list(read_table_runs(tmp_path / "a" / take.imu, clock=clock))
        t_ns = np.concatenate([run.accel.t_ns for run in runs])
        np.testing.assert_array_equal(t_ns, folder_stamps(take))
        felt = folder_signal(take, t_ns)
        assert np.abs(np.concatenate([run.accel.values for run in runs]) - felt[:, :3]).max() < 0.6
        assert np.abs(np.concatenate([run.gyro.values for run in runs]) - felt[:, 3:]).max() < 0.06


def test_faults_go_to_the_last_takes_one_each() -> None:
    names = ["imu_gap", "imu_late", "imu_short", "path_escape"]
    truth = plan_folder(takes=6, seconds=12, seed=0, participants=4, faults=names)
    assert [take.fault for take in truth.takes] == [None, None, *reversed(names)]
    gap, late, short, escape = reversed(truth.takes[2:])
    assert gap.gap_ns == (6 * NS_PER_S, 6 * NS_PER_S + 400 * NS_PER_MS)
    stamps = folder_stamps(gap)
    assert not ((stamps >= gap.gap_ns[0]) & (stamps < gap.gap_ns[1])).any()
    assert np.diff(stamps).max() > 400 * NS_PER_MS
    assert late.late_ns == 800 * NS_PER_MS
    assert folder_stamps(short)[-1] == pytest.approx(6 * NS_PER_S, abs=20 * NS_PER_MS)
    assert escape.video.startswith("../")
    assert escape.imu.startswith("../")


def test_stamps_do_not_depend_on_how_they_are_cut() -> None:
    (take,) = plan_folder(takes=1, seconds=3, seed=1, participants=1, faults=()).takes
    whole = folder_stamps(take)
    cut = [
        folder_stamps(take, first=i, count=min(70, len(whole) - i))
        for i in range(0, len(whole), 70)
    ]
    np.testing.assert_array_equal(whole, np.concatenate(cut))


def test_people_come_round_and_fill_every_split() -> None:
    truth = plan_folder(takes=8, seconds=2, seed=0, participants=4, faults=())
    assert [t.participant.participant_uid for t in truth.takes] == [101, 102, 103, 104] * 2
    assert [t.split for t in truth.takes] == ["train", "train", "val", "test"] * 2
    assert [t.activity for t in truth.takes] == [0] * 4 + [1] * 4
    assert len({t.seed for t in truth.takes}) == 8


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"takes": 0}, "must be at least 1"),
        ({"seconds": 0.5}, "must be at least 1"),
        ({"faults": ["vrs_missing"]}, "faults of folder must be among"),
        ({"faults": ["imu_gap"] * 2}, "must be named once each"),
    ],
)
def test_arguments_that_cannot_be(fields: dict[str, object], match: str) -> None:
    given = {"takes": 4, "seconds": 5.0, "seed": 0, "participants": 2, "faults": (), **fields}
    with pytest.raises(UsageError, match=match):
        plan_folder(**given)  # type: ignore[arg-type]


def test_truth_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"truth.json must lie in a synthetic dataset"):
        read_folder_truth(tmp_path)
    (tmp_path / "truth.json").write_text("{}")
    with pytest.raises(UsageError, match=r"truth.json must fit its schema"):
        read_folder_truth(tmp_path)
