from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.realworld import REALWORLD_LABELS, RealWorldReader
from schemas.errors import TakeError, UsageError
from schemas.time import NS_PER_MS
from tests.pipelines.imu.test_realworld_zip import HEAD, write, zipped


def open_reader(root: Path, **fields: Any) -> RealWorldReader:
    config = DatasetConfig(name="realworld", root=root, **fields)
    return RealWorldReader(config, imu=ImuConfig(), video=VideoConfig(), text=TextConfig())


def rows(first_ms: int, count: int, *, value: float = 9.8) -> str:
    lines = [f"{i},{first_ms + 20 * i},{value},0,0" for i in range(count)]
    return HEAD + "\n".join(lines) + "\n"


def data_folder(root: Path, proband: int = 1) -> Path:
    folder = root / f"proband{proband}" / "data"
    folder.mkdir(parents=True)
    return folder


def write_pair(folder: Path, activity: str = "walking", *positions: str) -> None:
    for archive, stem in (("acc", "acc"), ("gyr", "Gyroscope")):
        files: dict[str, bytes | str] = {
            f"{stem}_{activity}_{position}.csv": rows(1000, 50) for position in positions
        }
        write(folder / f"{archive}_{activity}_csv.zip", files)


def test_takes_are_people_activities_and_places(tmp_path: Path) -> None:
    write_pair(data_folder(tmp_path, 12), "climbingdown", "head", "waist")
    write_pair(data_folder(tmp_path, 2), "lying", "head", "waist")
    (tmp_path / "proband2" / "data" / "mag_lying_csv.zip").write_bytes(b"not looked at")
    (tmp_path / "proband2" / "data" / "acc_flying_csv.zip").write_bytes(b"not looked at")
    (tmp_path / "probandX").mkdir()
    found = open_reader(tmp_path).read_catalogue()
    assert [t.take_uid for t in found.takes] == [
        "proband12-climbingdown-1-head",
        "proband2-lying-1-head",
    ]
    assert [t.label for t in found.takes] == ["climbing down", "lying"]
    assert [t.participant for t in found.takes] == ["realworld:12", "realworld:2"]
    take = found.takes[1]
    assert take.video is None
    assert take.imu is not None
    assert take.imu.path == "proband2/data/acc_lying_csv.zip"
    assert take.imu.later_paths == ("proband2/data/gyr_lying_csv.zip",)
    assert (found.faults, found.ignored, found.narrations) == ({}, {}, {})
    both = open_reader(tmp_path, positions=("waist", "head")).read_catalogue()
    assert [t.take_uid for t in both.takes][2:] == [
        "proband2-lying-1-head",
        "proband2-lying-1-waist",
    ]
    # Takes that share their archives must not share their parts.
    assert both.takes[2].extras != both.takes[3].extras


def test_labels_are_the_papers_eight() -> None:
    assert sorted(REALWORLD_LABELS.values()) == [
        "climbing down",
        "climbing up",
        "jumping",
        "lying",
        "running",
        "sitting",
        "standing",
        "walking",
    ]


@pytest.mark.parametrize("nested", [True, False])
def test_parts_pair_by_number_and_the_first_may_have_none(tmp_path: Path, nested: bool) -> None:
    folder = data_folder(tmp_path, 4)
    for sensor, stem, numbers in (
        ("acc", "acc", ("_1", "_2", "_3")),
        ("gyr", "Gyroscope", ("", "_2", "_3")),
    ):
        inner: dict[str, bytes | str] = {
            f"{sensor}_climbingup{n}_csv.zip": zipped(
                {f"{stem}_climbingup{n}_head.csv": rows(1000, 50)}
            )
            for n in numbers
        }
        if nested:
            write(folder / f"{sensor}_climbingup_csv.zip", inner)
        else:
            for name, data in inner.items():
                assert isinstance(data, bytes)
                (folder / name).write_bytes(data)
    found = open_reader(tmp_path).read_catalogue()
    assert [t.take_uid for t in found.takes] == [f"proband4-climbingup-{k}-head" for k in (1, 2, 3)]
    assert found.faults == {}
    assert len({str(t.extras) + str(t.imu) for t in found.takes}) == 3


def test_a_stray_number_in_one_sensors_name_is_no_second_part(tmp_path: Path) -> None:
    folder = data_folder(tmp_path, 4)
    write(folder / "acc_walking_csv.zip", {"acc_walking_2_head.csv": rows(1000, 50)})
    write(folder / "gyr_walking_csv.zip", {"Gyroscope_walking_head.csv": rows(1000, 50)})
    found = open_reader(tmp_path).read_catalogue()
    assert [t.take_uid for t in found.takes] == ["proband4-walking-2-head"]
    assert found.faults == {}
    clock = open_reader(tmp_path).read_clock(found.takes[0])
    assert clock.span.end_ns == 49 * 20 * NS_PER_MS


def test_what_is_missing_is_its_takes_fault(tmp_path: Path) -> None:
    folder = data_folder(tmp_path, 6)
    write(folder / "acc_jumping_csv.zip", {"acc_jumping_thigh.csv": "", "acc_jumping_head.csv": ""})
    write(folder / "gyr_jumping_csv.zip", {"Gyroscope_jumping_head.csv": ""})
    write(folder / "acc_lying_csv.zip", {"acc_lying_head.csv": ""})
    found = open_reader(tmp_path, positions=("head", "shin", "thigh")).read_catalogue()
    said = {uid: (error.code, error.detail) for uid, error in found.faults.items()}
    assert {uid: code for uid, (code, _) in said.items()} == {
        "proband6-jumping-1-shin": "imu_file_missing",
        "proband6-jumping-1-thigh": "imu_file_missing",
        "proband6-lying-1-head": "imu_file_missing",
        "proband6-lying-1-shin": "imu_file_missing",
        "proband6-lying-1-thigh": "imu_file_missing",
    }
    assert said["proband6-jumping-1-thigh"][1].startswith("gyroscope must have a file")
    assert said["proband6-jumping-1-shin"][1].startswith("accelerometer must have a file")
    assert len(found.takes) == 6


def test_damaged_archive_is_its_takes_fault(tmp_path: Path) -> None:
    folder = data_folder(tmp_path)
    write_pair(folder, "walking", "head")
    write_pair(folder, "lying", "head")
    (folder / "gyr_lying_csv.zip").write_bytes(b"rubbish")
    found = open_reader(tmp_path).read_catalogue()
    assert {uid: e.code for uid, e in found.faults.items()} == {
        "proband1-lying-1-head": "imu_file_unreadable"
    }


def write_parts(
    folder: Path, *, bad: tuple[str, ...], positions: tuple[str, ...] = ("head",)
) -> None:
    """Write three parts of climbing up, as archives in one of each sensor; ``bad`` are no zips."""
    for sensor, stem in (("acc", "acc"), ("gyr", "Gyroscope")):
        inner: dict[str, bytes | str] = {}
        for n in ("", "_2", "_3"):
            name = f"{sensor}_climbingup{n}_csv.zip"
            csv: dict[str, bytes | str] = {
                f"{stem}_climbingup{n}_{place}.csv": rows(1000, 50) for place in positions
            }
            inner[name] = b"no zip" if name in bad else zipped(csv)
        write(folder / f"{sensor}_climbingup_csv.zip", inner)


@pytest.mark.parametrize(
    ("bad", "faulty"),
    [
        pytest.param(("acc_climbingup_2_csv.zip",), [2], id="one_sensor"),
        pytest.param(("acc_climbingup_3_csv.zip", "gyr_climbingup_3_csv.zip"), [3], id="both"),
        pytest.param(("gyr_climbingup_csv.zip",), [1], id="without_a_number"),
        pytest.param(("acc_climbingup_csv.zip", "acc_climbingup_3_csv.zip"), [1, 3], id="two"),
    ],
)
def test_a_damaged_inner_archive_costs_only_the_parts_in_it(
    tmp_path: Path, bad: tuple[str, ...], faulty: list[int]
) -> None:
    write_parts(data_folder(tmp_path, 4), bad=bad, positions=("head", "waist"))
    reader = open_reader(tmp_path, positions=("head", "waist"))
    found = reader.read_catalogue()
    assert [t.take_uid for t in found.takes] == [
        f"proband4-climbingup-{k}-{place}" for k in (1, 2, 3) for place in ("head", "waist")
    ]
    assert {uid: error.code for uid, error in found.faults.items()} == {
        f"proband4-climbingup-{k}-{place}": "imu_file_unreadable"
        for k in faulty
        for place in ("head", "waist")
    }
    for take in found.takes:
        if take.take_uid not in found.faults:
            assert reader.read_clock(take).span.end_ns == 49 * 20 * NS_PER_MS


def test_a_part_that_is_left_alone_is_not_paired_with_another(tmp_path: Path) -> None:
    folder = data_folder(tmp_path, 4)
    write(
        folder / "acc_lying_csv.zip",
        {
            "acc_lying_csv.zip": b"no zip",
            "acc_lying_2_csv.zip": zipped({"acc_lying_2_head.csv": rows(1000, 50)}),
        },
    )
    write(folder / "gyr_lying_csv.zip", {"Gyroscope_lying_head.csv": rows(1000, 50)})
    found = open_reader(tmp_path).read_catalogue()
    assert {uid: error.code for uid, error in found.faults.items()} == {
        "proband4-lying-1-head": "imu_file_unreadable",
        "proband4-lying-2-head": "imu_file_missing",
    }


def test_two_files_for_one_part_are_not_guessed_at(tmp_path: Path) -> None:
    folder = data_folder(tmp_path)
    write_pair(folder, "walking", "head")
    files: dict[str, bytes | str] = {"acc_walking_head.csv": "", "acc_walking_1_head.csv": ""}
    write(folder / "acc_walking_csv.zip", files)
    found = open_reader(tmp_path).read_catalogue()
    assert found.faults["proband1-walking-1-head"].code == "imu_file_ambiguous"


def test_archive_outside_the_root_is_refused(tmp_path: Path) -> None:
    write_pair(data_folder(tmp_path / "elsewhere"), "walking", "head")
    folder = data_folder(tmp_path / "root")
    for sensor in ("acc", "gyr"):
        name = f"{sensor}_walking_csv.zip"
        (folder / name).symlink_to(tmp_path / "elsewhere" / "proband1" / "data" / name)
    found = open_reader(tmp_path / "root").read_catalogue()
    assert found.faults["proband1-walking-1-head"].code == "path_escapes_root"


def test_take_clock_starts_where_both_sensors_exist(tmp_path: Path) -> None:
    folder = data_folder(tmp_path)
    write(folder / "acc_walking_csv.zip", {"acc_walking_head.csv": rows(5000, 100)})
    gyro = HEAD + "0,5100,,,\n" + rows(5137, 30, value=0.5).removeprefix(HEAD)
    write(folder / "gyr_walking_csv.zip", {"Gyroscope_walking_head.csv": gyro})
    reader = open_reader(tmp_path)
    (take,) = reader.read_catalogue().takes
    clock = reader.read_clock(take)
    # The empty row at 5100 is no sample; the gyroscope ends at 5137 + 29 * 20.
    assert clock.span.start_ns == 0
    assert clock.span.end_ns == 580 * NS_PER_MS
    assert clock.to_take_ns(np.array([5_137_000_000])).tolist() == [0]
    recording = reader.read_imu(take, clock)
    (run,) = recording.runs
    assert (recording.frame, recording.stream) == ("sensor", "head")
    assert run.gyro.t_ns[[0, -1]].tolist() == [0, 580 * NS_PER_MS]
    assert run.accel.t_ns[0] == -137 * NS_PER_MS
    assert run.invalid_ns.tolist() == [-37 * NS_PER_MS]
    assert recording.info["gyro_invalid"] == 1


def test_sensors_that_never_run_together_are_refused(tmp_path: Path) -> None:
    folder = data_folder(tmp_path)
    write(folder / "acc_walking_csv.zip", {"acc_walking_head.csv": rows(5000, 50)})
    write(folder / "gyr_walking_csv.zip", {"Gyroscope_walking_head.csv": rows(5980, 50)})
    reader = open_reader(tmp_path)
    with pytest.raises(TakeError, match=r"imu_missing: .*run at one time"):
        reader.read_clock(reader.read_catalogue().takes[0])


def test_roots_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must be a RealWorld HAR folder"):
        open_reader(tmp_path / "nowhere").read_catalogue()
    with pytest.raises(UsageError, match="got none in"):
        open_reader(tmp_path).read_catalogue()
    (tmp_path / "realworld2016_dataset.zip").write_bytes(b"")
    with pytest.raises(UsageError, match=r"unpack realworld2016_dataset.zip there once"):
        open_reader(tmp_path).read_catalogue()
