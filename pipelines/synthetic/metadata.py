"""Metadata files of a synthetic Ego-Exo4D: takes, captures, participants, splits, timesync."""

import csv
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipelines.synthetic.activities import ACTIVITIES
from pipelines.synthetic.plan import make_uid
from pipelines.synthetic.truth import CaptureClock, DatasetTruth, TakeTruth, row_device_ns

__all__ = [
    "VIDEO_448_PATH",
    "VIDEO_FULL_PATH",
    "VRS_NAME",
    "make_captures",
    "make_participants",
    "make_physical_settings",
    "make_splits",
    "make_takes",
    "take_folder",
    "write_timesync",
]

VRS_NAME: Final = "aria01_noimagestreams.vrs"
VIDEO_FULL_PATH: Final = "frame_aligned_videos/aria01_214-1.mp4"
VIDEO_448_PATH: Final = "frame_aligned_videos/downscaled/448/aria01_214-1.mp4"
_FPS: Final = 30
_EXO: Final = ("cam01", "cam02", "cam03", "cam04")
_ARIA_STREAMS: Final = (
    ("rgb", "214-1", "RGB Camera Class #1"),
    ("slam-left", "1201-1", "Camera Data (SLAM) #1"),
    ("slam-right", "1201-2", "Camera Data (SLAM) #2"),
    ("et", "211-1", "Eye Camera Class #1"),
)
Record = dict[str, Any]


def make_takes(truth: DatasetTruth) -> list[Record]:
    """Return the content of ``takes.json``."""
    captures = {entry["capture_uid"]: entry for entry in make_captures(truth)}
    return [_make_take(take, capture=captures[take.capture_uid]) for take in truth.takes]


def make_captures(truth: DatasetTruth) -> list[Record]:
    """Return the content of ``captures.json``, one entry a capture."""
    first_takes = {take.capture_uid: take for take in reversed(truth.takes)}
    return [_make_capture(first_takes[uid]) for uid in sorted(first_takes)]


def make_participants(truth: DatasetTruth) -> list[Record]:
    """Return the content of ``participants.json``."""
    universities = {
        take.participant.participant_uid: _university(take) for take in reversed(truth.takes)
    }
    return [
        {
            "participant_uid": uid,
            "university_name": universities[uid],
            "collection_date": "2023-01-15",
            "metadata": '{"pre_survey": {}, "recording_location": ["synthetic"]}',
        }
        for uid in sorted(universities)
    ]


def make_physical_settings(truth: DatasetTruth) -> list[Record]:
    """Return the content of ``physical_setting.json``, one setting a university."""
    return [
        {
            "physical_setting_uid": make_uid("setting", name),
            "university_name": name,
            "name": f"{name} studio",
        }
        for name in sorted({_university(take) for take in truth.takes})
    ]


def make_splits(truth: DatasetTruth) -> Record:
    """Return the content of ``annotations/splits.json``; it names one take that is not there."""
    of_take = {take.take_uid: take.split for take in truth.takes}
    of_take[make_uid(truth.seed, "unknown", "train")] = "train"
    return {
        "take_uid_to_split": of_take,
        "split_to_take_uids": {
            split: [uid for uid, found in of_take.items() if found == split]
            for split in ("train", "val", "test")
        },
        "take_uid_to_benchmark": {uid: ["atomic_descriptions"] for uid in of_take},
    }


def take_folder(take: TakeTruth) -> str:
    """Return the take's folder by takes.json, relative to the dataset; it may escape from it."""
    return f"{'../outside' if take.fault == 'path_escape' else 'takes'}/{take.take_name}"


def write_timesync(path: Path, *, clock: CaptureClock) -> None:
    """Write a capture's ``timesync.csv``: one row an instant, all cameras side by side.

    It ends after ``clock.rows_in_file`` rows where that is set.

    A column with an empty cell is written the way pandas writes it, as floats.
    """
    rows = clock.rows
    number = np.arange(rows)
    exact_ns = row_device_ns(clock)
    rng = np.random.default_rng([clock.jitter_seed, 1])
    empty = np.zeros(rows, dtype=np.bool_)
    empty[list(clock.empty_rows)] = True
    columns: list[tuple[str, list[str]]] = []
    for _, stream, _ in _ARIA_STREAMS:
        if stream == "214-1":
            stamps, missing = exact_ns, empty
        else:
            offset_ns = int(rng.integers(-4_000_000, 4_000_000))
            stamps = exact_ns + offset_ns
            # The eye cameras run at 10 Hz: two of three rows have no picture of theirs.
            missing = (number % 3 != 0) if stream == "211-1" else (number < 2)
        columns.append((f"aria01_{stream}_capture_timestamp_ns", _cells(stamps, missing=missing)))
        columns.append((f"aria01_{stream}_frame_number", _cells(number + 12, missing=missing)))
    global_ns = 1_673_000_000_000_000_000 + np.rint(number * clock.period_ns).astype(np.int64)
    for place, camera in enumerate(_EXO):
        # Every camera starts a little later than the one before; the last rows may lack one.
        missing = (number < 5 * place) | (number >= rows - 3 * place)
        columns.append((f"{camera}_frame_number", _cells(number - 5 * place, missing=missing)))
        columns.append((f"{camera}_pts", _cells(1001 * (number - 5 * place), missing=missing)))
        columns.append((f"{camera}_global_time", _cells(global_ns, missing=missing)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([name for name, _ in columns])
        written = slice(clock.rows_in_file)
        writer.writerows(zip(*[cells[written] for _, cells in columns], strict=True))


def _cells(values: npt.NDArray[np.int64], *, missing: npt.NDArray[np.bool_]) -> list[str]:
    if not missing.any():
        return [str(value) for value in values.tolist()]
    return [
        "" if gone else f"{value:.1f}"
        for value, gone in zip(values.tolist(), missing.tolist(), strict=True)
    ]


def _university(take: TakeTruth) -> str:
    return take.take_name.partition("_")[0]


def _make_capture(take: TakeTruth) -> Record:
    name, university = take.clock.capture_name, _university(take)
    cameras = [("aria01", True, "aria", "aria01.vrs")]
    cameras += [(camera, False, "hero10", f"{camera}.mp4") for camera in _EXO]
    return {
        "capture_uid": take.capture_uid,
        "capture_name": name,
        "root_dir": f"captures/{name}",
        "university_name": university,
        "university_id": university,
        "physical_setting_uid": make_uid("setting", university),
        "ds_recorded": "2023-01-15",
        "has_trajectory": False,
        "has_gaze": False,
        "has_postsurvey": False,
        "timesync_uid": make_uid(take.capture_uid, "timesync"),
        "timesync_validated": True,
        "validated": True,
        "cameras": [
            {
                "cam_id": camera,
                "is_ego": is_ego,
                "has_walkaround": False,
                "includes_audio": True,
                "device_type": device_type,
                "relative_path": f"videos/{file}",
                "video_artifact_uid": make_uid(take.capture_uid, camera),
            }
            for camera, is_ego, device_type, file in cameras
        ],
    }


def _make_take(take: TakeTruth, *, capture: Record) -> Record:
    activity = ACTIVITIES[take.activity]
    university = _university(take)
    # As in the published files: exactly the rows of the take over 30.
    duration_s = (take.end_row - take.start_row) / _FPS
    return {
        "root_dir": take_folder(take),
        "take_name": take.take_name,
        "take_uid": take.take_uid,
        "participant_uid": take.participant.participant_uid,
        "university_name": university,
        "university_id": university,
        "is_dropped": False,
        "validated": True,
        "is_narrated": False,
        "objects": [],
        "best_exo": "cam01",
        "task_id": activity.task_id,
        "task_name": activity.task_name,
        "parent_task_id": activity.task_id // 1000 * 1000,
        "parent_task_name": activity.parent_task_name,
        "task_start_sec": 0.0,
        "task_end_sec": duration_s,
        "task_timing_annotation_uid": None,
        "take_idx": int(take.take_name.rpartition("_")[2]),
        "take_timing_uid": make_uid(take.take_uid, "timing"),
        "timesync_uid": capture["timesync_uid"],
        "capture_uid": take.capture_uid,
        "physical_setting_uid": capture["physical_setting_uid"],
        "duration_sec": duration_s,
        "timesync_start_idx": take.start_row,
        "timesync_end_idx": take.end_row,
        "capture": capture,
        "frame_aligned_videos": _frame_aligned_videos(take),
        "vrs_relative_path": VRS_NAME,
        "vrs_all_streams_relative_path": "aria01.vrs",
        "has_trimmed_vrs": True,
        "has_trimmed_trajectory": False,
        "has_trimmed_gaze": False,
    }


def _frame_aligned_videos(take: TakeTruth) -> Record:
    def entry(camera: str, stream: str, readable: str, path: str | None) -> Record:
        return {
            "cam_id": camera,
            "stream_id": stream,
            "readable_stream_id": readable,
            "clip_uid": make_uid(take.take_uid, camera, stream),
            "relative_path": path,
        }

    folder = "frame_aligned_videos"
    videos: Record = {
        "aria01": {
            key: entry("aria01", stream, key, f"{folder}/aria01_{stream}.mp4")
            for key, stream, _ in _ARIA_STREAMS
        }
    }
    for camera in _EXO:
        videos[camera] = {"0": entry(camera, "0", "0", f"{folder}/{camera}.mp4")}
    videos["collage"] = {"0": entry("collage", "0", "0", "ego_preview.mp4")}
    videos["best_exo"] = {"0": entry("best_exo", "0", "0", None)}
    return videos
