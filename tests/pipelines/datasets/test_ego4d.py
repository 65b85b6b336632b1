import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.align.clock import TakeClock
from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.ego4d import Ego4DReader
from schemas.errors import TakeError, UsageError
from schemas.take import Take
from schemas.time import Interval
from tests.video_files import make_frames, write_video

MS = 1_000_000
S = 1_000_000_000
HEADER = (
    "component_idx,component_timestamp_ms,canonical_timestamp_ms,"
    "gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z\n"
)


def reader(root: Path, *, variant: str = "auto", **text: Any) -> Ego4DReader:
    return Ego4DReader(
        DatasetConfig(name="ego4d", root=root),
        imu=ImuConfig(),
        video=VideoConfig.model_validate({"variant": variant}),
        text=TextConfig.model_validate(text),
    )


def make(
    root: Path,
    videos: list[dict[str, Any]],
    *,
    base: str = ".",
    files: tuple[str, ...] = ("imu/{uid}.csv", "video_540ss/{uid}.mp4"),
) -> Path:
    """Write metadata and empty files: a catalogue opens none of them."""
    (root / base / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "ego4d.json").write_text(json.dumps({"videos": videos}))
    for video in videos:
        for name in files:
            path = root / base / name.format(uid=video["video_uid"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def only(root: Path, **settings: Any) -> tuple[Take, TakeError | None]:
    catalogue = reader(root, **settings).read_catalogue()
    (take,) = catalogue.takes
    return take, catalogue.faults.get(take.take_uid)


def test_a_take_is_what_the_metadata_say(tmp_path: Path) -> None:
    video = {
        "video_uid": "abc",
        "duration_sec": 12.5,
        "scenarios": ["Cooking"],
        "fb_participant_id": 31,
        "has_imu": True,
        "split_em": "val",
        "split_av": None,
    }
    catalogue = reader(make(tmp_path, [video])).read_catalogue()
    (take,) = catalogue.takes
    assert (take.dataset, take.take_uid, take.take_name) == ("ego4d", "abc", "abc")
    assert (take.participant, take.label, take.task_family) == ("ego4d:31", "cook", "Cooking")
    assert take.duration_ns == 12_500_000_000
    assert take.video is not None
    assert take.imu is not None
    assert (take.video.path, take.video.variant) == ("video_540ss/abc.mp4", "540ss")
    assert (take.imu.path, take.imu.label) == ("imu/abc.csv", "csv")
    assert catalogue.faults == {}
    assert catalogue.official_split == {"abc": "val"}


def test_what_the_metadata_leave_open_is_none(tmp_path: Path) -> None:
    take, fault = only(make(tmp_path, [{"video_uid": "abc", "fb_participant_id": None}]))
    assert (take.participant, take.label, take.task_family, take.duration_ns) == (None,) * 4
    assert fault is None


@pytest.mark.parametrize("duration", ["12", True, -1.0, float("nan")])
def test_a_duration_that_is_none_is_left_open(tmp_path: Path, duration: Any) -> None:
    take, _ = only(make(tmp_path, [{"video_uid": "abc", "duration_sec": duration}]))
    assert take.duration_ns is None


def test_several_scenarios_have_neither_label_nor_family(tmp_path: Path) -> None:
    take, _ = only(make(tmp_path, [{"video_uid": "abc", "scenarios": ["Cooking", "Eating"]}]))
    assert (take.label, take.task_family) == (None, None)


def test_a_scenario_of_several_lines_is_one_family(tmp_path: Path) -> None:
    name = "jobs related to construction/renovation company\n(Director of work, etc)"
    take, _ = only(make(tmp_path, [{"video_uid": "abc", "scenarios": [name]}]))
    assert take.label == "construction"
    assert take.task_family == name.replace("\n", " ")


def test_takes_are_sorted_by_uid(tmp_path: Path) -> None:
    root = make(tmp_path, [{"video_uid": uid} for uid in ("b", "c", "a")])
    assert [take.take_uid for take in reader(root).read_catalogue().takes] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("variant", "there", "found"),
    [
        ("auto", ("video_540ss", "full_scale"), "540ss"),
        ("auto", ("full_scale",), "full"),
        ("full", ("video_540ss", "full_scale"), "full"),
        ("540ss", ("video_540ss", "full_scale"), "540ss"),
        ("full", ("video_540ss",), None),
        ("540ss", ("full_scale",), None),
        ("auto", (), None),
    ],
)
@pytest.mark.parametrize("base", [".", "v2"])
def test_the_small_picture_is_preferred(
    tmp_path: Path, base: str, variant: str, there: tuple[str, ...], found: str | None
) -> None:
    files = ("imu/{uid}.csv", *(f"{folder}/{{uid}}.mp4" for folder in there))
    root = make(tmp_path, [{"video_uid": "abc"}], base=base, files=files)
    take, fault = only(root, variant=variant)
    if found is None:
        assert take.video is None
        assert fault is not None
        assert fault.code == "video_missing"
        return
    assert fault is None
    assert take.video is not None
    assert take.video.variant == found
    assert (root / take.video.path).is_file()
    assert take.video.path.startswith("v2/") == (base == "v2")


@pytest.mark.parametrize(
    ("has_imu", "there", "faulty"),
    [(True, True, False), (True, False, True), (False, True, True), (None, True, False)],
)
def test_a_video_without_imu_is_a_fault(
    tmp_path: Path, has_imu: bool | None, there: bool, faulty: bool
) -> None:
    files = ("video_540ss/{uid}.mp4", *(("imu/{uid}.csv",) if there else ()))
    root = make(tmp_path, [{"video_uid": "abc", "has_imu": has_imu}], files=files)
    take, fault = only(root)
    assert (fault.code if fault else None) == ("imu_file_missing" if faulty else None)
    assert (take.imu is None) == faulty
    # What is there is told all the same.
    assert take.video is not None


def test_a_uid_with_dots_does_not_leave_the_dataset(tmp_path: Path) -> None:
    root = tmp_path / "data"
    make(root, [{"video_uid": "../../abc"}])
    take, fault = only(root)
    assert fault is not None
    assert fault.code == "path_escapes_root"
    assert take.imu is None


def test_narrations_come_with_the_catalogue(tmp_path: Path) -> None:
    root = make(tmp_path, [{"video_uid": "abc"}])
    narration = {"timestamp_sec": 1.5, "narration_text": "#C C cuts", "annotation_uid": "u"}
    passes = {f"narration_pass_{k}": {"narrations": [narration]} for k in (1, 2)}
    (root / "annotations/narration.json").write_text(json.dumps({"abc": passes, "x": passes}))
    catalogue = reader(root).read_catalogue()
    assert [n.pass_uid for n in catalogue.narrations["abc"]] == [
        "narration_pass_1:u",
        "narration_pass_2:u",
    ]
    assert catalogue.ignored == {"unknown_take": 2}
    first = reader(root, passes="first").read_catalogue()
    assert [n.pass_uid for n in first.narrations["abc"]] == ["narration_pass_1:u"]
    none = reader(root, sources=[]).read_catalogue()
    assert none.narrations == {}


def test_what_ego4d_does_not_have_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path, [{"video_uid": "abc"}])
    with pytest.raises(UsageError, match="variant must be auto, 540ss or full for ego4d, got 448"):
        reader(root, variant="448").read_catalogue()
    with pytest.raises(UsageError, match=r"sources of ego4d must be among narrations, got vtt"):
        reader(root, sources=["narrations", "vtt"]).read_catalogue()
    with pytest.raises(UsageError, match="must be an Ego4D folder"):
        reader(tmp_path / "nowhere").read_catalogue()


def recorded(root: Path, *, first_ms: float, last_ms: float) -> tuple[Ego4DReader, Take]:
    """One second of video at 30 frames/s, and IMU rows 5 ms apart."""
    make(root, [{"video_uid": "abc"}])
    write_video(root / "video_540ss/abc.mp4", make_frames(30))
    stamps = np.arange(first_ms, last_ms + 1e-6, 5.0).tolist()
    rows = "".join(f"0,0,{t},.1,.2,.3,1,2,3\n" for t in stamps)
    (root / "imu/abc.csv").write_text(HEADER + rows)
    found = reader(root)
    return found, found.read_catalogue().takes[0]


@pytest.mark.parametrize(
    ("first_ms", "last_ms", "span_ms"),
    [
        pytest.param(-20, 1010, (0, 1000), id="imu around the video"),
        pytest.param(3, 998, (3, 998), id="imu within the video"),
        pytest.param(100, 900, (100, 900), id="at the edge"),
        pytest.param(105, 890, (0, 1000), id="imu much shorter"),
    ],
)
def test_the_clock_is_the_videos_own(
    tmp_path: Path, first_ms: float, last_ms: float, span_ms: tuple[int, int]
) -> None:
    opened, take = recorded(tmp_path, first_ms=first_ms, last_ms=last_ms)
    clock = opened.read_clock(take)
    # A sample on the last instant belongs to the take: the span ends just after it.
    after = 1 if span_ms[1] < 1000 else 0
    assert (clock.span.start_ns, clock.span.end_ns) == (span_ms[0] * MS, span_ms[1] * MS + after)
    assert clock.uncertainty_ns == 33_333_333
    instants = np.array([-5 * S, 0, 123_456_789, 40 * S])
    np.testing.assert_array_equal(clock.to_take_ns(instants), instants)


def test_imu_is_read_on_the_videos_clock_in_the_sensors_frame(tmp_path: Path) -> None:
    opened, take = recorded(tmp_path, first_ms=3, last_ms=998)
    recording = opened.read_imu(take, opened.read_clock(take))
    runs = list(recording.runs)
    stamps = np.concatenate([run.gyro.t_ns for run in runs])
    assert stamps.tolist() == [(3 + 5 * k) * MS for k in range(200)]
    assert (recording.frame, recording.stream) == ("sensor", "csv")
    assert recording.info["rows"] == 200
    values = np.concatenate([run.accel.values for run in runs])
    assert np.unique(values, axis=0).tolist() == [[1, 2, 3]]


def test_a_take_without_its_files_has_no_clock(tmp_path: Path) -> None:
    root = make(tmp_path, [{"video_uid": "abc"}], files=())
    opened = reader(root)
    (take,) = opened.read_catalogue().takes
    with pytest.raises(TakeError, match="video_missing: take must have the file"):
        opened.read_clock(take)
    clock = TakeClock.identity(Interval(0, S))
    with pytest.raises(TakeError, match="imu_file_missing: take must have the file"):
        opened.read_imu(take, clock)
