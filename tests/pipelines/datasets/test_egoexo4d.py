"""A hand-made folder in Ego-Exo4D's layout, one fault at a time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.egoexo4d import EgoExo4DReader
from pipelines.datasets.registry import open_reader
from pipelines.synthetic.vrs_writer import AriaImuBlock, AriaImuStream, write_aria_vrs
from schemas.errors import TakeError, UsageError
from schemas.take import ImuStream, VideoStream
from schemas.time import Interval

FIRST_NS = 400_000_000_000
ROW_NS = 33_340_000
SMALL = "takes/fair_bike_01_2/frame_aligned_videos/downscaled/448/aria02_214-1.mp4"
FULL = "takes/fair_bike_01_2/frame_aligned_videos/aria02_214-1.mp4"
NO_ARIA = "aria_camera_missing"
VRS = "takes/fair_bike_01_2/aria02_noimagestreams.vrs"


def entry() -> dict[str, Any]:
    return {
        "take_uid": "uid-b",
        "take_name": "fair_bike_01_2",
        "root_dir": "takes/fair_bike_01_2",
        "participant_uid": 37,
        "task_id": 4002,
        "timesync_start_idx": 10,
        "timesync_end_idx": 31,
        "duration_sec": 0.7,
        "vrs_relative_path": "aria02_noimagestreams.vrs",
        "capture": {
            "capture_name": "fair_bike_01",
            "root_dir": "captures/fair_bike_01",
            "cameras": [
                {"cam_id": "cam01", "is_ego": False},
                {"cam_id": "gp05", "is_ego": True},
                {"cam_id": "aria01", "is_ego": False},
                {"cam_id": "aria02", "is_ego": True},
            ],
        },
        "frame_aligned_videos": {
            "aria02": {"rgb": {"relative_path": "frame_aligned_videos/aria02_214-1.mp4"}},
            "collage": {"0": {"relative_path": None}},
        },
    }


def write_video(path: Path, *, frames: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(frames):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_takes(tmp_path, entry())
    write_video(tmp_path / SMALL, frames=20)
    write_video(tmp_path / FULL, frames=21)
    stream = AriaImuStream(instance=1, label="imu-right", nominal_rate_hz=1000)
    t_ns = FIRST_NS + np.arange(3000) * 1_000_000
    values = np.ones((3000, 3))
    block = AriaImuBlock(instance=1, t_ns=t_ns, accel_m_s2=values, gyro_rad_s=values)
    write_aria_vrs(tmp_path / VRS, streams=[stream], blocks=[[block]], calib_json=None)
    folder = tmp_path / "captures/fair_bike_01"
    folder.mkdir(parents=True)
    rows = [f"{FIRST_NS + i * ROW_NS}" for i in range(50)]
    (folder / "timesync.csv").write_text(
        "\n".join(["aria02_214-1_capture_timestamp_ns", *rows]) + "\n"
    )
    return tmp_path


def write_takes(root: Path, *entries: dict[str, Any]) -> None:
    (root / "takes.json").write_text(json.dumps(entries))


def reader(
    root: Path,
    *,
    variant: Literal["auto", "448", "full"] = "auto",
    labels: Literal["paper", "published"] = "paper",
    k0: Literal[0, 1] = 0,
    imu: ImuConfig | None = None,
    text: TextConfig | None = None,
) -> EgoExo4DReader:
    return EgoExo4DReader(
        DatasetConfig(name="egoexo4d", root=root, labels=labels, timesync_k0=k0),
        imu=imu or ImuConfig(),
        video=VideoConfig(variant=variant),
        text=text or TextConfig(),
    )


def test_take_is_read_with_all_that_metadata_says(root: Path) -> None:
    catalogue = reader(root).read_catalogue()
    (take,) = catalogue.takes
    assert catalogue.faults == {}
    assert (take.dataset, take.take_uid, take.take_name) == ("egoexo4d", "uid-b", "fair_bike_01_2")
    assert take.participant == "egoexo4d:37"
    assert (take.label, take.task_family) == ("repair bike", "Bike Repair")
    assert take.video == VideoStream(path=SMALL, variant="448")
    assert take.imu == ImuStream(path=VRS, label="imu-right")
    assert take.duration_ns == 700_000_000
    assert take.clock_paths == ("captures/fair_bike_01/timesync.csv",)
    assert take.extras == {"cam_id": "aria02", "timesync_start_idx": 10, "timesync_end_idx": 31}


def test_clock_follows_the_video_in_use(root: Path) -> None:
    # 20 frames of the small copy: certain; 21 of the full one: the row offset is assumed.
    small, full, shifted = (
        reader(root),
        reader(root, variant="full"),
        reader(root, variant="full", k0=1),
    )
    certain = small.read_clock(small.read_catalogue().takes[0])
    assert certain.device_ns.tolist() == [FIRST_NS + (10 + i) * ROW_NS for i in range(20)]
    assert certain.uncertainty_ns == 0
    assert certain.span == Interval(0, 666_666_667)
    assumed = full.read_clock(full.read_catalogue().takes[0])
    assert assumed.device_ns.tolist() == [FIRST_NS + (10 + i) * ROW_NS for i in range(21)]
    assert assumed.uncertainty_ns == 33_333_333
    late = shifted.read_clock(shifted.read_catalogue().takes[0])
    assert late.device_ns.tolist() == [FIRST_NS + (11 + i) * ROW_NS for i in range(21)]


def test_imu_stands_on_the_take_clock(root: Path) -> None:
    pytest.importorskip("projectaria_tools.core.data_provider")
    ours = reader(root, imu=ImuConfig(accept_sensor_frame=True))
    (take,) = ours.read_catalogue().takes
    recording = ours.read_imu(take, ours.read_clock(take))
    t_ns = np.concatenate([run.accel.t_ns for run in recording.runs])
    assert len(t_ns) == 3000
    # Rows step 33.34 ms for frames of 33.33 ms: the take clock runs slower by that ratio.
    assert t_ns[0] == pytest.approx(-10 * ROW_NS * (1e9 / 30 / ROW_NS), abs=100)
    assert np.diff(t_ns).mean() == pytest.approx(1e6 * (1e9 / 30 / ROW_NS), rel=1e-6)
    with pytest.raises(TakeError, match="no_calibration"):
        reader(root).read_imu(take, ours.read_clock(take))


def test_imu_stream_is_the_configured_one(root: Path) -> None:
    (take,) = reader(root, imu=ImuConfig(stream="imu-left")).read_catalogue().takes
    assert take.imu == ImuStream(path=VRS, label="imu-left")


@pytest.mark.parametrize(
    ("variant", "gone", "path"),
    [
        pytest.param("auto", None, SMALL, id="auto_takes_448"),
        pytest.param("auto", SMALL, FULL, id="auto_falls_back_on_full"),
        pytest.param("full", None, FULL, id="full"),
        pytest.param("448", None, SMALL, id="448"),
        pytest.param("448", SMALL, None, id="448_alone_is_missing"),
        pytest.param("full", FULL, None, id="full_alone_is_missing"),
    ],
)
def test_copy_of_the_picture(
    root: Path, variant: Literal["auto", "448", "full"], gone: str | None, path: str | None
) -> None:
    if gone is not None:
        (root / gone).unlink()
    catalogue = reader(root, variant=variant).read_catalogue()
    video = catalogue.takes[0].video
    if path is None:
        assert video is None
        assert catalogue.faults["uid-b"].code == "video_missing"
        return
    assert video == VideoStream(path=path, variant="448" if path == SMALL else "full")


ALL_STREAMS = "takes/fair_bike_01_2/aria02.vrs"


@pytest.mark.parametrize(
    ("small", "named", "streams_named", "path"),
    [
        pytest.param(True, True, True, VRS, id="both"),
        pytest.param(True, True, False, VRS, id="small_alone_named"),
        pytest.param(False, True, True, ALL_STREAMS, id="small_one_not_downloaded"),
        pytest.param(True, False, True, ALL_STREAMS, id="small_one_not_named"),
        pytest.param(False, True, False, None, id="neither_there"),
        pytest.param(True, False, False, None, id="neither_named"),
    ],
)
@pytest.mark.parametrize("variant", ["448", "full"])
def test_either_recording_serves_either_picture(
    root: Path,
    small: bool,
    named: bool,
    streams_named: bool,
    path: str | None,
    variant: Literal["448", "full"],
) -> None:
    (root / ALL_STREAMS).write_bytes((root / VRS).read_bytes())
    if not small:
        (root / VRS).unlink()
    one = entry()
    one["vrs_relative_path"] = one["vrs_relative_path"] if named else None
    one["vrs_all_streams_relative_path"] = "aria02.vrs" if streams_named else None
    write_takes(root, one)
    ours = reader(root, variant=variant, imu=ImuConfig(accept_sensor_frame=True))
    catalogue = ours.read_catalogue()
    (take,) = catalogue.takes
    if path is None:
        assert catalogue.faults["uid-b"].code == "vrs_missing"
        assert take.imu is None
        return
    assert take.imu == ImuStream(path=path, label="imu-right")
    # The copy in use decides the rows: 20 frames leave no choice, 21 do.
    clock = ours.read_clock(take)
    assert (len(clock.device_ns), clock.uncertainty_ns) == (
        (20, 0) if variant == "448" else (21, 33_333_333)
    )
    pytest.importorskip("projectaria_tools.core.data_provider")
    runs = list(ours.read_imu(take, clock).runs)
    assert sum(len(run.accel.t_ns) for run in runs) == 3000


@pytest.mark.parametrize("value", [None, "111", True, float("nan"), 0, -1.5])
def test_length_that_metadata_do_not_say_is_unknown(root: Path, value: object) -> None:
    write_takes(root, {**entry(), "duration_sec": value})
    assert reader(root).read_catalogue().takes[0].duration_ns is None


def test_text_config_reaches_the_annotations(root: Path) -> None:
    with pytest.raises(UsageError, match=r"text\.sources of egoexo4d must be among .*, got talk"):
        reader(root, text=TextConfig(sources=("talk",))).read_catalogue()


def test_video_is_found_where_metadata_names_no_file(root: Path) -> None:
    one = entry()
    one["frame_aligned_videos"] = {"aria02": {"rgb": {"relative_path": None}}}
    write_takes(root, one)
    assert reader(root).read_catalogue().takes[0].video == VideoStream(path=SMALL, variant="448")


def _set(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(one: dict[str, Any]) -> None:
        node = one
        *parents, leaf = path.split(".")
        for name in parents:
            node = node[name]
        node[leaf] = value

    return change


@pytest.mark.parametrize(
    ("change", "code", "detail"),
    [
        (_set("vrs_relative_path", None), "vrs_missing", "must name a file, got neither"),
        (_set("vrs_relative_path", "aria09.vrs"), "vrs_missing", "got none at takes/fair_.*09.vrs"),
        (_set("vrs_relative_path", "../../../etc"), "path_escapes_root", "must stay inside"),
        (_set("root_dir", "takes/none"), "video_missing", "got neither file at takes/none/"),
        (_set("root_dir", "../other"), "path_escapes_root", "must stay inside"),
        (_set("capture.cameras", []), NO_ARIA, "an ego camera named aria"),
        (_set("capture.cameras", [{"cam_id": "aria01", "is_ego": False}]), NO_ARIA, "got none"),
        (_set("capture.cameras", [{"cam_id": "gp01", "is_ego": True}]), NO_ARIA, "got none"),
        (_set("capture.root_dir", "captures/none"), "timesync_missing", "file must exist"),
        (_set("capture.root_dir", "../captures"), "path_escapes_root", "must stay inside"),
        (_set("capture", None), NO_ARIA, "got none"),
        (_set("timesync_start_idx", None), "timesync_missing", "must be a row number, got None"),
        (_set("timesync_end_idx", -3), "timesync_missing", "timesync_end_idx .* got -3"),
    ],
)  # fmt: skip
def test_take_that_cannot_be_used_is_listed_with_its_fault(
    root: Path, change: Callable[[dict[str, Any]], None], code: str, detail: str
) -> None:
    one, good = entry(), {**entry(), "take_uid": "uid-a"}
    change(one)
    write_takes(root, one, good)
    catalogue = reader(root).read_catalogue()
    assert [take.take_uid for take in catalogue.takes] == ["uid-a", "uid-b"]
    assert set(catalogue.faults) == {"uid-b"}
    assert catalogue.faults["uid-b"].code == code
    with pytest.raises(TakeError, match=detail):
        raise catalogue.faults["uid-b"]


def test_truncated_video_is_refused_by_its_frame_count(root: Path) -> None:
    write_video(root / SMALL, frames=15)
    ours = reader(root)
    with pytest.raises(TakeError, match=r"must hold 20 or 21 frames .* got 15"):
        ours.read_clock(ours.read_catalogue().takes[0])


def test_faulty_take_has_no_clock_and_no_imu(root: Path) -> None:
    (root / SMALL).unlink()
    (root / FULL).unlink()
    ours = reader(root)
    (take,) = ours.read_catalogue().takes
    with pytest.raises(TakeError, match="must have video and timesync"):
        ours.read_clock(take)


def test_participant_and_task_may_be_unknown(root: Path) -> None:
    write_takes(root, {**entry(), "participant_uid": None, "task_id": None, "take_name": "x"})
    (take,) = reader(root).read_catalogue().takes
    assert (take.participant, take.task_family, take.label) == (None, None, None)


def test_basketball_has_a_label_only_as_published(root: Path) -> None:
    write_takes(root, {**entry(), "take_name": "unc_basketball_1_2", "task_id": 6001})
    assert reader(root).read_catalogue().takes[0].label is None
    published = reader(root, labels="published").read_catalogue().takes[0]
    assert (published.label, published.task_family) == ("soccer", "Basketball")


def test_split_and_annotations_of_unreleased_takes_are_left_aside(root: Path) -> None:
    (root / "annotations").mkdir()
    splits = {"take_uid_to_split": {"uid-b": "val", "never-released": "train"}}
    (root / "annotations/splits.json").write_text(json.dumps(splits))
    one = {"annotation_uid": "p", "descriptions": [{"text": "C sits", "timestamp": 0.5}]}
    annotations = {"annotations": {"uid-b": [one], "never-released": [one, one]}}
    (root / "annotations/atomic_descriptions_train.json").write_text(json.dumps(annotations))
    catalogue = reader(root).read_catalogue()
    assert catalogue.official_split == {"uid-b": "val"}
    assert catalogue.ignored == {"unknown_take": 2}
    assert [n.narration_ns for n in catalogue.narrations["uid-b"]] == [500_000_000]
    assert set(catalogue.narrations) == {"uid-b"}


def test_missing_folder_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"dataset\.root must be an Ego-Exo4D folder, got .*none"):
        reader(tmp_path / "none").read_catalogue()


def test_folder_without_takes_json_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must hold takes\.json, .* got none at"):
        reader(tmp_path).read_catalogue()


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({}, "must be a list of takes"),
        ([{}], "entry 0 must have a take_uid"),
        ([7], "entry 0 must have a take_uid"),
        ([{"take_uid": "a"}, {"take_uid": "a"}], "must be unique in takes.json, got a twice"),
    ],
)
def test_takes_json_of_another_shape_is_wrong_usage(
    tmp_path: Path, document: Any, sentence: str
) -> None:
    (tmp_path / "takes.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match=sentence):
        reader(tmp_path).read_catalogue()


def test_registry_opens_this_reader(root: Path) -> None:
    config = DatasetConfig(name="egoexo4d", root=root)
    ours = open_reader(config, imu=ImuConfig(), video=VideoConfig(), text=TextConfig())
    assert isinstance(ours, EgoExo4DReader)
    assert ours.name == "egoexo4d"
