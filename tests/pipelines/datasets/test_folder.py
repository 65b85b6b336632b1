import csv
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.folder import FolderReader
from schemas.errors import TakeError, UsageError
from schemas.time import NS_PER_MS, NS_PER_S
from tests.pipelines.imu.test_table_imu import columns, write
from tests.video_files import make_frames, write_video

Row = dict[str, Any]
SAID = 'says "hi",\nthen leaves'


def open_reader(
    root: Path, *, text: TextConfig | None = None, video: VideoConfig | None = None
) -> FolderReader:
    return FolderReader(
        DatasetConfig(name="folder", root=root),
        imu=ImuConfig(),
        video=video or VideoConfig(),
        text=text or TextConfig(),
    )


def write_rows(path: Path, rows: list[Row]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_imu(root: Path, name: str = "a.parquet", **overrides: Any) -> str:
    write(root / name, columns(400, **overrides))
    return name


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_of_either_kind_say_the_same(tmp_path: Path, suffix: str) -> None:
    imu = write_imu(tmp_path)
    rows: list[Row] = [
        {
            "take_uid": "b",
            "take_name": "the second",
            "participant": 7,
            "label": "cook, slowly",
            "split": "val",
            "imu": imu,
            "first_frame_ns": -5,
            "duration_s": 2.5,
        },
        {"take_uid": "a", "take_name": None, "participant": None, "label": None, "split": None,
         "imu": imu, "first_frame_ns": None, "duration_s": None},
    ]  # fmt: skip
    write_rows(tmp_path / f"takes{suffix}", rows)
    first, second = open_reader(tmp_path).read_catalogue().takes
    assert (first.take_uid, second.take_uid) == ("a", "b")
    assert (first.take_name, first.participant, first.label) == ("a", None, None)
    assert (second.take_name, second.participant) == ("the second", "folder:7")
    assert second.label == "cook, slowly"
    assert second.duration_ns == 2_500_000_000
    assert dict(second.extras) == {"first_frame_ns": -5, "imu_frame": "device"}
    assert open_reader(tmp_path).read_catalogue().official_split == {"b": "val"}
    assert first.imu is not None
    assert first.imu.path == imu


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_narrations_are_sorted_and_strangers_counted(tmp_path: Path, suffix: str) -> None:
    write_rows(tmp_path / "takes.csv", [{"take_uid": "a", "imu": write_imu(tmp_path)}])
    said: list[Row] = [
        {"take_uid": "a", "t_ns": 20, "text": SAID, "subject": "wearer", "visible": True},
        {"take_uid": "b", "t_ns": 1, "text": "nobody", "subject": None, "visible": None},
        {"take_uid": "a", "t_ns": 10, "text": "🚲 自転車", "subject": "other", "visible": False},
        {"take_uid": "a", "t_ns": 15, "text": None, "subject": None, "visible": None},
    ]  # fmt: skip
    write_rows(tmp_path / f"narrations{suffix}", said)
    found = open_reader(tmp_path).read_catalogue()
    assert found.ignored == {"unknown_take": 1}
    assert set(found.narrations) == {"a"}
    a = found.narrations["a"]
    assert [(n.narration_ns, n.text_raw) for n in a] == [
        (10, "🚲 自転車"),
        (15, ""),
        (20, SAID),
    ]
    assert [(n.subject, n.visible) for n in a] == [("other", False), (None, None), ("wearer", True)]
    assert {(n.text, n.text_source, n.pass_uid) for n in a} == {("", "narrations", "1")}


def test_sources_and_passes_are_chosen_by_config(tmp_path: Path) -> None:
    write_rows(tmp_path / "takes.csv", [{"take_uid": "a", "imu": write_imu(tmp_path)}])
    said: list[Row] = [
        {"take_uid": "a", "t_ns": t, "text": "x", "source": source, "pass": number}
        for t, source, number in ((3, "notes", "p2"), (1, "notes", "p1"), (2, "spoken", "p1"))
    ]
    write_rows(tmp_path / "narrations.csv", said)

    def kept(**fields: Any) -> tuple[list[int], dict[str, int]]:
        found = open_reader(tmp_path, text=TextConfig(**fields)).read_catalogue()
        return [n.narration_ns for n in found.narrations["a"]], dict(found.ignored)

    assert kept() == ([1, 2, 3], {})
    assert kept(sources=("notes",)) == ([1, 3], {"other_source": 1})
    # The file's first pass of a source is the one that stands first, whenever it speaks.
    assert kept(passes="first") == ([2, 3], {"later_pass": 1})
    with pytest.raises(UsageError, match=r"text.sources must be among notes, spoken, got sung"):
        kept(sources=("sung",))


def test_files_that_are_not_there_are_their_takes_faults(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_imu(tmp_path, "outside.csv")
    imu = write_imu(root)
    rows: list[Row] = [
        {"take_uid": "a", "video": "", "imu": imu},
        {"take_uid": "b", "video": "none.mp4", "imu": imu},
        {"take_uid": "c", "video": "", "imu": "none.csv"},
        {"take_uid": "d", "video": "", "imu": "../outside.csv"},
        {"take_uid": "e", "video": "", "imu": str(tmp_path / "outside.csv")},
        {"take_uid": "f", "video": "", "imu": ""},
    ]
    write_rows(root / "takes.csv", rows)
    reader = open_reader(root)
    found = reader.read_catalogue()
    assert {uid: error.code for uid, error in found.faults.items()} == {
        "b": "video_missing",
        "c": "imu_file_missing",
        "d": "path_escapes_root",
        "e": "path_escapes_root",
    }
    with pytest.raises(TakeError, match="streams_missing"):
        reader.read_clock(found.takes[5])


def test_clock_with_video_starts_at_its_first_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", make_frames(45, height=32, width=32))
    epoch = 1_700_000_000 * NS_PER_S
    stamps = epoch - 100 * NS_PER_MS + np.arange(400) * 5 * NS_PER_MS
    imu = write_imu(tmp_path, "a.csv", t_ns=stamps)
    write_rows(
        tmp_path / "takes.csv",
        [{"take_uid": "a", "video": "v.mp4", "imu": imu, "first_frame_ns": epoch}],
    )
    reader = open_reader(tmp_path)
    (take,) = reader.read_catalogue().takes
    clock = reader.read_clock(take)
    assert (clock.span.start_ns, clock.span.end_ns) == (0, 1_500_000_000)
    recording = reader.read_imu(take, clock)
    (run,) = recording.runs
    assert run.accel.t_ns[[0, 20, -1]].tolist() == [-100 * NS_PER_MS, 0, 1895 * NS_PER_MS]
    assert (recording.frame, recording.stream) == ("device", "table")


def test_clock_without_video_spans_the_samples_from_zero_on(tmp_path: Path) -> None:
    imu = write_imu(tmp_path)
    rows: list[Row] = [
        {"take_uid": "a", "imu": imu, "first_frame_ns": 0},
        {"take_uid": "b", "imu": imu, "first_frame_ns": 500 * NS_PER_MS},
        {"take_uid": "c", "imu": imu, "first_frame_ns": -500 * NS_PER_MS},
        {"take_uid": "d", "imu": imu, "first_frame_ns": 1995 * NS_PER_MS},
    ]
    write_rows(tmp_path / "takes.csv", rows)
    reader = open_reader(tmp_path)
    takes = reader.read_catalogue().takes
    spans = [reader.read_clock(take).span for take in takes[:3]]
    assert [(s.start_ns // NS_PER_MS, s.end_ns // NS_PER_MS) for s in spans] == [
        (0, 1995),
        (0, 1495),
        (500, 2495),
    ]
    with pytest.raises(TakeError, match="imu_missing: IMU table must reach beyond first_frame_ns"):
        reader.read_clock(takes[3])


def test_sensor_frame_is_said_once_for_all(tmp_path: Path) -> None:
    imu = write_imu(tmp_path)
    rows: list[Row] = [{"take_uid": uid, "imu": imu, "imu_frame": "sensor"} for uid in "ab"]
    write_rows(tmp_path / "takes.csv", rows)
    reader = open_reader(tmp_path)
    take = reader.read_catalogue().takes[0]
    assert reader.read_imu(take, reader.read_clock(take)).frame == "sensor"
    rows[1]["imu_frame"] = ""
    write_rows(tmp_path / "takes.csv", rows)
    with pytest.raises(UsageError, match="one for all takes, got device for b and sensor for a"):
        reader.read_catalogue()


@pytest.mark.parametrize(
    ("row", "match"),
    [
        pytest.param({"take_uid": ""}, r"take_uid must be in every row.*takes.csv row 2", id="uid"),
        pytest.param({"take_uid": "a"}, "must be unique, got a twice", id="twice"),
        pytest.param({"split": "dev"}, "split must be among train, val, test, got dev", id="split"),
        pytest.param({"imu_frame": "body"}, "among device, sensor, got body", id="frame"),
        pytest.param({"imu": "a.txt"}, "must name a .parquet or .csv file", id="imu_kind"),
        pytest.param({"first_frame_ns": "1.5"}, r"must be whole nanoseconds.*row 2", id="whole"),
        pytest.param({"duration_s": "long"}, "duration_s must be a number", id="number"),
        pytest.param({"duration_s": "-1"}, "duration_s must be positive", id="positive"),
        pytest.param({"lable": "x"}, "got unknown lable", id="unknown_column"),
    ],
)
def test_rows_that_cannot_be_are_named(tmp_path: Path, row: Row, match: str) -> None:
    names = ["take_uid", "imu", "split", "imu_frame", "first_frame_ns", "duration_s", *row]
    good = {**dict.fromkeys(names, ""), "take_uid": "a"}
    write_rows(tmp_path / "takes.csv", [good, {**good, "take_uid": "b", **row}])
    with pytest.raises(UsageError, match=match):
        open_reader(tmp_path).read_catalogue()


@pytest.mark.parametrize(
    ("row", "match"),
    [
        pytest.param({"t_ns": "1.5"}, r"t_ns must be whole nanoseconds, got '1.5'", id="t_ns"),
        pytest.param({"t_ns": ""}, "take_uid and t_ns must be in every row", id="no_t_ns"),
        pytest.param({"subject": "C"}, "subject must be among wearer, other, got C", id="subject"),
        pytest.param({"visible": "maybe"}, "visible must be true, false or empty", id="visible"),
    ],
)
def test_narrations_that_cannot_be_are_named(tmp_path: Path, row: Row, match: str) -> None:
    write_rows(tmp_path / "takes.csv", [{"take_uid": "a", "imu": write_imu(tmp_path)}])
    entry = {"take_uid": "a", "t_ns": "1", "text": "x", "subject": "", "visible": "", **row}
    write_rows(tmp_path / "narrations.csv", [entry])
    with pytest.raises(UsageError, match=match):
        open_reader(tmp_path).read_catalogue()


def test_folders_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must be a folder with takes.csv"):
        open_reader(tmp_path / "nowhere").read_catalogue()
    with pytest.raises(UsageError, match=r"must hold takes.csv or takes.parquet, got neither"):
        open_reader(tmp_path).read_catalogue()
    rows: list[Row] = [{"take_uid": "a"}]
    for suffix in (".csv", ".parquet"):
        write_rows(tmp_path / f"takes{suffix}", rows)
    with pytest.raises(UsageError, match=r"got takes.parquet and takes.csv"):
        open_reader(tmp_path).read_catalogue()
    (tmp_path / "takes.csv").unlink()
    (tmp_path / "takes.parquet").write_bytes(b"rubbish")
    with pytest.raises(UsageError, match=r"takes.parquet must be a readable table"):
        open_reader(tmp_path).read_catalogue()
    with pytest.raises(UsageError, match=r"video.variant must be auto or full .* got 448"):
        open_reader(tmp_path, video=VideoConfig(variant="448")).read_catalogue()


def test_no_narrations_table_is_no_fault(tmp_path: Path) -> None:
    write_rows(tmp_path / "takes.csv", [{"take_uid": "a", "imu": write_imu(tmp_path)}])
    assert open_reader(tmp_path).read_catalogue().narrations == {}
