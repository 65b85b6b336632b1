"""Ego-Exo4D: takes by takes.json, the clock by timesync.csv, IMU from the takes' Aria files.

takes.json is the authority: annotations and splits also speak of takes that were never released.
The IMU is that of the wearer's Aria glasses; the video is the frame-aligned picture of their RGB
camera, by preference its copy of 448 pixels.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from pipelines.align.clock import TakeClock
from pipelines.align.timesync import read_timesync_clock
from pipelines.datasets.base import Catalogue, ImuRecording
from pipelines.datasets.egoexo4d_annotations import LAYOUT, read_narrations, read_official_split
from pipelines.datasets.json_fields import as_mapping, as_seconds_ns, read_json
from pipelines.datasets.rooted import RootedReader
from pipelines.imu.aria_vrs import open_aria_imu
from pipelines.segments.labels import egoexo4d_label
from pipelines.video.probe import probe_video
from schemas.errors import TakeError, UsageError
from schemas.take import ImuStream, Take, VideoStream

__all__ = ["TASK_FAMILIES", "EgoExo4DReader"]

# Copies of the picture; the first that exists is read.
_VARIANTS: Final = ("448", "full")

TASK_FAMILIES: Final = {
    1: "Cooking",
    2: "Health",
    4: "Bike Repair",
    5: "Music",
    6: "Basketball",
    7: "Rock Climbing",
    8: "Soccer",
    9: "Dance",
}


class EgoExo4DReader(RootedReader):
    """Reads an Ego-Exo4D folder in the layout of its own download tool."""

    name = "egoexo4d"
    metadata = ("*.json", "annotations/*.json")

    def read_catalogue(self) -> Catalogue:
        """Return every take of takes.json, with the narrations of the wanted sources and passes.

        Raises:
            UsageError: if the folder or takes.json is not there, a metadata file is broken, or
                ``text.sources`` names what is not there.
        """
        root = self._check_root("an Ego-Exo4D folder")
        self._wanted_variants(*_VARIANTS)
        entries = read_json(root / "takes.json", layout=LAYOUT)
        if not isinstance(entries, list):
            raise UsageError(f"takes.json must be a list of takes [{root / 'takes.json'}]")
        takes: dict[str, Take] = {}
        faults: dict[str, TakeError] = {}
        for i, entry in enumerate(entries):
            uid = entry.get("take_uid") if isinstance(entry, dict) else None
            if not isinstance(uid, str) or not uid:
                raise UsageError(f"takes.json entry {i} must have a take_uid [{root}]")
            if uid in takes:
                raise UsageError(f"take_uid must be unique in takes.json, got {uid} twice [{root}]")
            takes[uid], fault = self._read_take(uid, entry)
            if fault is not None:
                faults[uid] = fault
        narrations, ignored = read_narrations(root, take_uids=takes.keys(), text=self._text)
        split = read_official_split(root)
        return Catalogue(
            takes=tuple(takes[uid] for uid in sorted(takes)),
            narrations=narrations,
            faults=faults,
            ignored=ignored,
            official_split={uid: name for uid, name in split.items() if uid in takes},
        )

    def read_clock(self, take: Take) -> TakeClock:
        """Return the take's clock, by its rows of timesync.csv and its video's frame count.

        Raises:
            TakeError: as ``read_timesync_clock`` and ``probe_video``.
        """
        if take.video is None or not take.clock_paths:
            raise TakeError(
                "timesync_missing", f"take must have video and timesync [{take.take_name}]"
            )
        return read_timesync_clock(
            self._file(take.clock_paths[0]),
            cam_id=str(take.extras["cam_id"]),
            start_idx=int(take.extras["timesync_start_idx"] or 0),
            end_idx=int(take.extras["timesync_end_idx"] or 0),
            video=probe_video(self._file(take.video.path)),
            k0=self._config.timesync_k0,
        )

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        """Open the take's Aria IMU.

        Raises:
            TakeError: as ``open_aria_imu``.
        """
        if take.imu is None:
            raise TakeError("vrs_missing", f"take must have a VRS file [{take.take_name}]")
        return open_aria_imu(
            self._file(take.imu.path),
            stream=take.imu.label,
            clock=clock,
            accept_sensor_frame=self._imu.accept_sensor_frame,
        )

    def _read_take(self, uid: str, entry: Mapping[str, Any]) -> tuple[Take, TakeError | None]:
        """Return what can be told of a take, and the first fault that rules it out."""
        name = str(entry.get("take_name") or uid)
        task_id = entry.get("task_id")
        video: VideoStream | None = None
        imu: ImuStream | None = None
        clock_paths: tuple[str, ...] = ()
        extras: dict[str, str | int | float | bool | None] = {}
        fault: TakeError | None = None
        try:
            folder = _folder(entry)
            rows = _timesync_rows(entry)
            cam_id = _aria_camera(entry)
            extras = {"cam_id": cam_id, **rows}
            timesync = f"{_capture_folder(entry)}/timesync.csv"
            self._require_file(timesync, code="timesync_missing")
            clock_paths = (timesync,)
            video = self._find_video(entry, folder=folder, cam_id=cam_id)
            vrs = self._find_vrs(entry, folder=folder)
            imu = ImuStream(path=vrs, label=self._imu.stream)
        except TakeError as error:
            fault = error
        take = Take(
            dataset=self.name,
            take_uid=uid,
            take_name=name,
            participant=self._participant(entry.get("participant_uid")),
            label=egoexo4d_label(name, rule=self._config.labels),
            task_family=TASK_FAMILIES.get(task_id // 1000) if isinstance(task_id, int) else None,
            video=video,
            imu=imu,
            duration_ns=_duration_ns(entry),
            clock_paths=clock_paths,
            extras=extras,
        )
        return take, fault

    def _find_vrs(self, entry: Mapping[str, Any], *, folder: str) -> str:
        """Return the file with the IMU: by preference the small one, without the cameras."""
        fields = ("vrs_relative_path", "vrs_all_streams_relative_path")
        named = [name for name in map(entry.get, fields) if isinstance(name, str) and name]
        if not named:
            raise TakeError("vrs_missing", f"{' or '.join(fields)} must name a file, got neither")
        places = [f"{folder}/{name}" for name in named]
        found = self._find_first(places)
        if found is None:
            raise TakeError(
                "vrs_missing", f"VRS file must exist, got none at {' or '.join(places)}"
            )
        return found

    def _find_video(self, entry: Mapping[str, Any], *, folder: str, cam_id: str) -> VideoStream:
        streams = as_mapping(as_mapping(entry.get("frame_aligned_videos")).get(cam_id))
        named = as_mapping(streams.get("rgb")).get("relative_path")
        full = str(named or f"frame_aligned_videos/{cam_id}_214-1.mp4")
        small = f"frame_aligned_videos/downscaled/448/{PurePosixPath(full).name}"
        variants = {"448": f"{folder}/{small}", "full": f"{folder}/{full}"}
        wanted = self._wanted_variants(*_VARIANTS)
        for variant in wanted:
            path = self._find_first([variants[variant]])
            if path is not None:
                return VideoStream(path=path, variant=variant)
        places = " or ".join(variants[variant] for variant in wanted)
        raise TakeError("video_missing", f"video must exist, got neither file at {places}")


def _folder(entry: Mapping[str, Any]) -> str:
    return str(entry.get("root_dir") or f"takes/{entry.get('take_name')}")


def _capture_folder(entry: Mapping[str, Any]) -> str:
    capture = as_mapping(entry.get("capture"))
    if not (capture.get("root_dir") or capture.get("capture_name")):
        raise TakeError("timesync_missing", "take must name its capture, got none")
    return str(capture.get("root_dir") or f"captures/{capture['capture_name']}")


def _duration_ns(entry: Mapping[str, Any]) -> int | None:
    duration_ns = as_seconds_ns(entry.get("duration_sec"))
    return duration_ns if duration_ns is not None and duration_ns > 0 else None


def _timesync_rows(entry: Mapping[str, Any]) -> dict[str, int]:
    rows: dict[str, int] = {}
    for name in ("timesync_start_idx", "timesync_end_idx"):
        value = entry.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise TakeError("timesync_missing", f"{name} must be a row number, got {value!r}")
        rows[name] = value
    return rows


def _aria_camera(entry: Mapping[str, Any]) -> str:
    """Return the id of the wearer's Aria: an ego camera may also be a GoPro, and not always 01."""
    cameras = as_mapping(entry.get("capture")).get("cameras")
    for camera in cameras if isinstance(cameras, list) else []:
        cam_id = str(as_mapping(camera).get("cam_id") or "")
        if as_mapping(camera).get("is_ego") and cam_id.startswith("aria"):
            return cam_id
    raise TakeError("aria_camera_missing", "capture must hold an ego camera named aria.., got none")
