"""Ego4D: takes by ego4d.json, IMU by its CSV files, text by the narrations of both passes.

A take is a canonical video: its components joined, 30 frames/s, at full scale or scaled to a short
side of 540 pixels. The CSV's canonical stamps and the narrations count from its first frame, so
that the take clock is the video's own. Whether the CSV keeps to that is another matter: parts of
about half the IMU videos are reported to be off by 0.5 to 1 s, which the sync audit measures. No
IMU of Ego4D has a calibration, so that every take is in the sensor's own frame, whatever
``imu.accept_sensor_frame`` says.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipelines.align.clock import TakeClock
from pipelines.datasets.base import Catalogue, ImuRecording
from pipelines.datasets.ego4d_annotations import (
    TEXT_SOURCE,
    find_bases,
    official_split,
    read_ego4d_json,
    read_narrations,
)
from pipelines.datasets.json_fields import as_seconds_ns
from pipelines.datasets.narrations import wanted_sources
from pipelines.datasets.rooted import RootedReader
from pipelines.imu.ego4d_csv import EGO4D_STREAM, open_ego4d_imu, read_ego4d_span
from pipelines.segments.ego4d_labels import ego4d_label
from pipelines.video.probe import probe_video
from schemas.errors import TakeError
from schemas.take import ImuStream, Take, VideoStream
from schemas.time import NS_PER_MS, NS_PER_S, Interval

__all__ = ["Ego4DReader"]

# Variant to folder; the first that exists is read.
_FOLDERS: Final = {"540ss": "video_540ss", "full": "full_scale"}
# A take may end this much inside its video, where the IMU does.
_EDGE_NS: Final = 100 * NS_PER_MS


class Ego4DReader(RootedReader):
    """Reads an Ego4D folder in the layout of its own download tool."""

    name = "ego4d"
    metadata = (
        "ego4d.json",
        "*/ego4d.json",
        "narration.json",
        "*/narration.json",
        "*/annotations/narration.json",
    )

    def read_catalogue(self) -> Catalogue:
        """Return every video of ego4d.json, with the narrations of its passes.

        Raises:
            UsageError: if the folder or ego4d.json is not there, a metadata file is broken, or the
                config asks for a picture or a text source that Ego4D does not have.
        """
        root = self._check_root("an Ego4D folder")
        self._wanted_variants(*_FOLDERS)
        sources = wanted_sources(self._text, known=(TEXT_SOURCE,), dataset=self.name)
        takes: dict[str, Take] = {}
        faults: dict[str, TakeError] = {}
        splits: dict[str, str] = {}
        for entry in read_ego4d_json(root):
            uid = entry["video_uid"]
            takes[uid], fault = self._read_take(uid, entry)
            if fault is not None:
                faults[uid] = fault
            if split := official_split(entry):
                splits[uid] = split
        narrations, ignored = read_narrations(
            root, video_uids=takes.keys(), first_pass_only=self._text.passes == "first"
        )
        return Catalogue(
            takes=tuple(takes[uid] for uid in sorted(takes)),
            narrations=narrations if sources else {},
            faults=faults,
            ignored=ignored,
            official_split=splits,
        )

    def read_clock(self, take: Take) -> TakeClock:
        """Return the take's clock, the video's own from its first frame, uncertain by one frame.

        The take spans the video, or where the IMU starts or ends within a tenth of a second of it,
        what both have in common: its rows outside the video carry no stamp.

        Raises:
            TakeError: ``video_missing``, ``imu_file_missing``, or as ``probe_video`` and
                ``read_ego4d_span``.
        """
        video = probe_video(self._path(take.video, "video_missing", take=take))
        imu = self._path(take.imu, "imu_file_missing", take=take)
        sensed = read_ego4d_span(imu, duration_ns=video.duration_ns)
        start_ns, end_ns = 0, video.duration_ns
        if start_ns < sensed.start_ns <= start_ns + _EDGE_NS:
            start_ns = sensed.start_ns
        if end_ns - _EDGE_NS <= sensed.end_ns < end_ns:
            end_ns = sensed.end_ns
        return TakeClock.identity(
            Interval(start_ns, max(start_ns, end_ns)),
            uncertainty_ns=round(NS_PER_S / video.rate),
        )

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        """Open the take's CSV.

        Raises:
            TakeError: as ``open_ego4d_imu``, here or from the runs.
        """
        del clock  # the identity: the CSV counts from the first frame
        path = self._path(take.imu, "imu_file_missing", take=take)
        video = probe_video(self._path(take.video, "video_missing", take=take))
        return open_ego4d_imu(path, duration_ns=video.duration_ns)

    def _path(self, stream: VideoStream | ImuStream | None, code: str, *, take: Take) -> Path:
        if stream is None:
            raise TakeError(code, f"take must have the file, got none [{take.take_name}]")
        return self._file(stream.path)

    def _read_take(self, uid: str, entry: Mapping[str, Any]) -> tuple[Take, TakeError | None]:
        """Return what can be told of a video, and the first fault that rules it out."""
        scenarios = _scenarios(entry)
        video: VideoStream | None = None
        imu: ImuStream | None = None
        fault: TakeError | None = None
        try:
            imu = self._find_imu(uid, entry)
        except TakeError as error:
            fault = error
        try:
            video = self._find_video(uid)
        except TakeError as error:
            fault = fault or error
        take = Take(
            dataset=self.name,
            take_uid=uid,
            take_name=uid,
            participant=self._participant(entry.get("fb_participant_id")),
            label=ego4d_label(scenarios, rule=self._config.labels),
            task_family=scenarios[0] if len(scenarios) == 1 else None,
            video=video,
            imu=imu,
            duration_ns=_duration_ns(entry),
        )
        return take, fault

    def _find_imu(self, uid: str, entry: Mapping[str, Any]) -> ImuStream:
        if entry.get("has_imu") is False:
            raise TakeError("imu_file_missing", "video must have an IMU, got has_imu false")
        path = self._find(f"imu/{uid}.csv")
        if path is None:
            raise TakeError("imu_file_missing", f"file must exist, got none at imu/{uid}.csv")
        return ImuStream(path=path, label=EGO4D_STREAM)

    def _find_video(self, uid: str) -> VideoStream:
        wanted = self._wanted_variants(*_FOLDERS)
        for variant in wanted:
            path = self._find(f"{_FOLDERS[variant]}/{uid}.mp4")
            if path is not None:
                return VideoStream(path=path, variant=variant)
        places = " or ".join(f"{_FOLDERS[variant]}/{uid}.mp4" for variant in wanted)
        raise TakeError("video_missing", f"video must exist, got no file at {places}")

    def _find(self, relative: str) -> str | None:
        """Return the first place under the root where the file lies, None if nowhere.

        Raises:
            TakeError: ``path_escapes_root``.
        """
        bases = find_bases(self._config.root)
        return self._find_first(relative if b == "." else f"{b}/{relative}" for b in bases)


def _scenarios(entry: Mapping[str, Any]) -> list[str]:
    # One of them goes on with examples after a line break.
    given = entry.get("scenarios")
    return [" ".join(str(name).split()) for name in given] if isinstance(given, list) else []


def _duration_ns(entry: Mapping[str, Any]) -> int | None:
    duration_ns = as_seconds_ns(entry.get("duration_sec"))
    return duration_ns if duration_ns is not None and duration_ns >= 0 else None
