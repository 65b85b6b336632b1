"""Targets of the text parsers: tables, annotations, configs, and a store's own records."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache, partial
from pathlib import Path

import pytest

from pipelines.align.timesync import read_timesync_clock
from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig, load_config
from pipelines.datasets.base import read_limited_catalogue
from pipelines.datasets.registry import open_reader
from pipelines.imu.aria_calibration import parse_aria_calibration
from pipelines.imu.ego4d_csv import open_ego4d_imu, read_ego4d_span
from pipelines.imu.vrs_file import UnknownVrsError, VrsStream
from pipelines.imu.vrs_records import parse_data_layout
from pipelines.stores.refs import read_ref
from pipelines.stores.sealed import read_manifest, read_run_record
from pipelines.synthetic.aria_imu import make_calib_json
from pipelines.text.captions import parse_srt, parse_webvtt
from pipelines.text.narration_csv import parse_narration_csv
from pipelines.video.probe import VideoProbe
from primus_train.data.version import read_manifest as read_manifest_to_train
from schemas.errors import SchemaError, StoreDamagedError, StoreNotFoundError, TakeError, UsageError
from schemas.store import MANIFEST, RUN, parse_json, version_id, version_path
from schemas.time import NS_PER_S
from tests.factories import publish_small_version
from tests.fuzz.target import Target, check_recording

__all__ = ["TEXT_TARGETS"]

_STREAM = "imu-right"


def _table(rows: Sequence[dict[str, object]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@cache
def _ego4d_csvs() -> Sequence[bytes]:
    columns = ("gyro_x", "gyro_y", "gyro_z", "accl_x", "accl_y", "accl_z")
    rows: list[dict[str, object]] = [
        {
            "component_idx": 0,
            "component_timestamp_ms": 5.0 * i,
            "canonical_timestamp_ms": "" if i == 3 else 5.0 * (i - 2 * (i == 9)),
            **{name: round(0.1 * k + i, 3) for k, name in enumerate(columns)},
        }
        for i in range(25)
    ]
    return [_table(rows)]


def _parse_ego4d_csv(data: bytes, folder: Path) -> None:
    path = folder / "imu.csv"
    path.write_bytes(data)
    span = read_ego4d_span(path, duration_ns=NS_PER_S)
    assert span.end_ns > span.start_ns
    check_recording(open_ego4d_imu(path, duration_ns=NS_PER_S), most=len(data))


@cache
def _timesyncs() -> Sequence[bytes]:
    return [
        _table(
            [
                {
                    "aria01_214-1_capture_timestamp_ns": 500_000_000_000 + round(i * NS_PER_S / 30),
                    "cam01_pts": "" if i < 2 else i,
                }
                for i in range(40)
            ]
        )
    ]


def _parse_timesync(data: bytes, folder: Path) -> None:
    path = folder / "timesync.csv"
    path.write_bytes(data)
    video = VideoProbe(
        num_frames_from_header=20,
        rate=Fraction(30),
        first_pts_ns=0,
        duration_ns=20 * NS_PER_S // 30,
        width=8,
        height=8,
        codec="h264",
    )
    clock = read_timesync_clock(path, cam_id="aria01", start_idx=5, end_idx=26, video=video, k0=0)
    assert clock.span.start_ns == 0


def _parse_dataset(
    data: bytes, folder: Path, *, name: str, file: str, others: dict[str, bytes]
) -> None:
    """Read the catalogue of a folder with one file spoilt; its takes' files need not be there."""
    root = folder / name
    shutil.rmtree(root, ignore_errors=True)
    for relative, content in {**others, file: data}.items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    reader = open_reader(
        DatasetConfig.model_validate({"name": name, "root": root}),
        imu=ImuConfig(),
        video=VideoConfig(),
        text=TextConfig(),
    )
    catalogue = read_limited_catalogue(reader, limit=None)
    uids = [take.take_uid for take in catalogue.takes]
    assert uids == sorted(set(uids)), "takes must be sorted, each once"
    assert set(catalogue.narrations) | set(catalogue.faults) <= set(uids)
    for narrations in catalogue.narrations.values():
        for narration in narrations:
            narration.text_raw.encode()
            assert abs(narration.narration_ns) < 1 << 62


_TAKES = json.dumps(
    [
        {
            "take_uid": uid,
            "take_name": f"fair_bike_0{i}",
            "root_dir": f"takes/fair_bike_0{i}",
            "participant_uid": 37,
            "task_id": 4002,
            "timesync_start_idx": 10,
            "timesync_end_idx": 31,
            "duration_sec": 0.7,
            "vrs_relative_path": "aria02_noimagestreams.vrs",
            "capture": {
                "capture_name": "fair_bike",
                "root_dir": "captures/fair_bike",
                "cameras": [{"cam_id": "aria02", "is_ego": True}],
            },
            "frame_aligned_videos": {
                "aria02": {"rgb": {"relative_path": "frame_aligned_videos/aria02_214-1.mp4"}}
            },
        }
        for i, uid in enumerate(("uid-a", "uid-b"))
    ]
).encode()
_ATOMIC = json.dumps(
    {
        "annotations": {
            "uid-a": [
                {
                    "annotation_uid": "n-1",
                    "rejected": False,
                    "descriptions": [
                        {"text": "C opens a door.", "timestamp": 1.5, "subject": "C",
                         "ego_visible": True, "unsure": False},
                        {"text": "C closes it.", "timestamp": 3, "subject": "C"},
                    ],
                }
            ]
        }
    }
).encode()  # fmt: skip
_SPLITS = json.dumps({"take_uid_to_split": {"uid-a": "train", "uid-b": "val"}}).encode()
_EGO4D = json.dumps(
    {
        "videos": [
            {
                "video_uid": uid,
                "duration_sec": 12.5,
                "scenarios": ["Cooking"],
                "fb_participant_id": 7,
                "split_em": "train",
                "split_av": None,
                "has_imu": True,
                "is_stereo": False,
                "video_metadata": {"fps": 30, "num_frames": 375},
            }
            for uid in ("abc", "def")
        ]
    }
).encode()
_NARRATION = json.dumps(
    {
        "date": "now",
        "abc": {
            "narration_pass_1": {
                "narrations": [
                    {"timestamp_sec": 1.25, "narration_text": "#C C picks", "annotation_uid": "u"}
                ],
                "summaries": [],
            },
            "narration_pass_2": {"narrations": []},
        },
    }
).encode()
_FOLDER_TAKES = _table(
    [
        {"take_uid": "a", "take_name": "one", "participant": 7, "label": "cook, slowly",
         "split": "val", "imu": "a.csv", "first_frame_ns": -5, "duration_s": 2.5},
        {"take_uid": "b", "take_name": "", "participant": "", "label": "", "split": "train",
         "imu": "b.csv", "first_frame_ns": "", "duration_s": ""},
    ]
)  # fmt: skip
_FOLDER_SAID = _table(
    [
        {"take_uid": "a", "t_ns": 1_500_000_000, "text": 'says "hi",\nthen leaves', "pass": "p"},
        {"take_uid": "b", "t_ns": 0, "text": "waits", "pass": ""},
    ]
)
_IMU = b"t_ns,accel_x,accel_y,accel_z,gyro_x,gyro_y,gyro_z\n" + b"".join(
    b"%d,0,0,9.8,0,0,0\n" % (i * 10_000_000) for i in range(5)
)


def _dataset(target: str, name: str, file: str, **others: bytes) -> Target:
    files = {
        "egoexo4d": {
            "takes.json": _TAKES,
            "annotations/atomic_descriptions_train.json": _ATOMIC,
            "annotations/splits.json": _SPLITS,
        },
        "ego4d": {"ego4d.json": _EGO4D, "annotations/narration.json": _NARRATION},
        "folder": {
            "takes.csv": _FOLDER_TAKES,
            "narrations.csv": _FOLDER_SAID,
            "a.csv": _IMU,
            "b.csv": _IMU,
        },
    }[name]
    return Target(
        name=target,
        originals=lambda: [files[file]],
        parse=partial(_parse_dataset, name=name, file=file, others=files),
        allowed=(UsageError,),
    )


def _parse_texts(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", errors="replace")
    errors = []
    for parse in (parse_webvtt, parse_srt, parse_narration_csv):
        try:
            captions = parse(text)
        except SchemaError as error:
            errors.append(error)
            continue
        for cue in captions.cues:
            assert cue.text
            assert cue.end_ns >= cue.start_ns
            assert abs(cue.end_ns) < 1 << 62
    if len(errors) == 3:
        raise errors[0]


_CAPTIONS = (
    b"WEBVTT\n\nNOTE no cue\n\n1\n00:01.000 --> 00:02.500 align:left\n<v Ann>opens &amp; shuts\n\n"
    b"01:00:00.000 --> 01:00:01.000\nleaves\n",
    b"1\n00:00:01,000 --> 00:00:02,500\n<i>opens</i>\n\n2\n00:00:03,000 --> 00:00:04,000\nshuts\n",
    b'start_s,end_s,text\n1.5,2.5,"opens, then shuts"\n3,4,leaves\n',
)


def _parse_config(data: bytes, folder: Path) -> None:
    path = folder / "prep.yaml"
    path.write_bytes(data)
    config = load_config(path, overrides={})
    assert config.segments.length_ns > 0


_CONFIG = b"""\
dataset: {name: egoexo4d, root: /data/egoexo4d}
store: {uri: /data/store, tag: latest}
encoder: {name: some/model}
imu: {rate_hz: 50, max_gap_ms: 100}
segments: {policy: narration, length_ms: 5000, require: [imu, video]}
splits: {kind: participant, seed: 0, shares: [0.8, 0.1, 0.1]}
masks:
  - {name: tenth, keep: 0.1, modalities: [video, text], unit: segment, seed: 0}
execution: &e {executor: dask, workers: 8}
max_quarantine: 0.25
"""


def _parse_calibration(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", errors="replace")
    calibration = parse_aria_calibration(text, stream=_STREAM, path=folder)
    if calibration is not None:
        assert abs(abs(float(calibration.rotation[0, 0])) - 0.5) <= 0.5 + 1e-9


_LAYOUT = json.dumps(
    {
        "data_layout": [
            {"name": "accelerometer_valid", "type": "DataPieceValue<Bool>", "offset": 0},
            {"name": "accelerometer", "type": "DataPieceArray<float>", "offset": 1, "size": 3},
        ]
    }
).encode()


def _parse_layout(data: bytes, folder: Path) -> None:
    stream = VrsStream(
        type_id=1202,
        instance=1,
        vrs_tags={
            "DL:Data:2:0": data.decode("utf-8", errors="replace"),
            "RF:Data:2": "data_layout",
        },
    )
    _, layout = parse_data_layout(
        stream, pieces={"accelerometer_valid": ("Bool", 1), "accelerometer": ("float", 3)}
    )
    assert layout.itemsize < 1 << 17


@cache
def _version() -> tuple[bytes, bytes]:
    """Return manifest and run record of a small version."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        version = publish_small_version(store, takes=2, segments=2).version
        manifest = (store / version_path(version, MANIFEST)).read_bytes()
        return manifest, (store / version_path(version, RUN)).read_bytes()


def _parse_manifest(data: bytes, folder: Path) -> None:
    try:
        # Under the id that it would have: what else is wrong with it is to be found too.
        version = version_id(parse_json(data))
    except (ValueError, AttributeError, TypeError):
        version = "0" * 16
    path = folder / "store" / version_path(version, MANIFEST)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        # The trainer may ask for more, never for less.
        written = read_manifest(folder / "store", version)
        assert read_manifest_to_train(folder / "store", version) == written
        for entry in written.objects:
            assert ".." not in entry.path.split("/")
            assert not entry.path.startswith("/")
    except _STORE_ERRORS:
        with pytest.raises(_STORE_ERRORS):
            read_manifest_to_train(folder / "store", version)
        raise
    finally:
        shutil.rmtree(path.parent)


def _parse_run_record(data: bytes, folder: Path) -> None:
    path = folder / "store" / version_path("0" * 16, RUN)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    read_run_record(folder / "store", "0" * 16)


def _parse_tag(data: bytes, folder: Path) -> None:
    path = folder / "store" / "refs" / "latest.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    read_ref(folder / "store", "latest")


_STORE_ERRORS = (StoreDamagedError, StoreNotFoundError, UsageError)


def _one(data: bytes) -> Callable[[], Sequence[bytes]]:
    return lambda: [data]


TEXT_TARGETS = {
    target.name: replace(target, text=True)
    for target in (
        Target(name="ego4d_csv", originals=_ego4d_csvs, parse=_parse_ego4d_csv),
        Target(name="timesync", originals=_timesyncs, parse=_parse_timesync),
        _dataset("egoexo4d_takes", "egoexo4d", "takes.json"),
        _dataset("egoexo4d_atomic", "egoexo4d", "annotations/atomic_descriptions_train.json"),
        _dataset("egoexo4d_splits", "egoexo4d", "annotations/splits.json"),
        _dataset("ego4d_videos", "ego4d", "ego4d.json"),
        _dataset("ego4d_narrations", "ego4d", "annotations/narration.json"),
        _dataset("folder_takes", "folder", "takes.csv"),
        _dataset("folder_narrations", "folder", "narrations.csv"),
        Target(
            name="captions",
            originals=lambda: _CAPTIONS,
            parse=_parse_texts,
            allowed=(SchemaError,),
        ),
        Target(name="config", originals=_one(_CONFIG), parse=_parse_config, allowed=(UsageError,)),
        Target(
            name="calibration",
            originals=lambda: [make_calib_json().encode()],
            parse=_parse_calibration,
            allowed=(TakeError, UnknownVrsError),
        ),
        Target(
            name="data_layout",
            originals=_one(_LAYOUT),
            parse=_parse_layout,
            allowed=(UnknownVrsError,),
        ),
        Target(
            name="manifest",
            originals=lambda: [_version()[0]],
            parse=_parse_manifest,
            allowed=_STORE_ERRORS,
        ),
        Target(
            name="run_record",
            originals=lambda: [_version()[1]],
            parse=_parse_run_record,
            allowed=_STORE_ERRORS,
        ),
        Target(
            name="tag",
            originals=_one(b'{"version":"0123456789abcdef"}'),
            parse=_parse_tag,
            allowed=_STORE_ERRORS,
        ),
    )
}
