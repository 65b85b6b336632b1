"""Data of one's own: a folder with a table of takes, their files, and a table of narrations.

``takes.csv`` or ``takes.parquet`` has one row a take; ``narrations.csv`` or ``narrations.parquet``,
if there is one, a row a sentence. Tables hold paths relative to the folder. ``docs/own-data.md``
shows the way from nothing to a store.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from pipelines.align.clock import TakeClock
from pipelines.datasets.base import Catalogue, ImuRecording
from pipelines.datasets.folder_tables import (
    Row,
    choice_cell,
    number_cell,
    read_rows,
    text_cell,
    whole_cell,
)
from pipelines.datasets.narrations import narration_order
from pipelines.datasets.rooted import RootedReader
from pipelines.imu.table_imu import read_table_ends, read_table_runs
from pipelines.video.probe import probe_video
from schemas.errors import TakeError, UsageError
from schemas.narration import Narration
from schemas.segment import SPLITS
from schemas.take import ImuStream, Take, VideoStream
from schemas.time import Interval, seconds_to_ns

__all__ = ["NARRATION_COLUMNS", "TAKE_COLUMNS", "FolderReader"]

TAKE_COLUMNS: Final = (
    "take_uid",
    "take_name",
    "participant",
    "label",
    "split",
    "video",
    "imu",
    "imu_frame",
    "first_frame_ns",
    "duration_s",
)
NARRATION_COLUMNS: Final = ("take_uid", "t_ns", "text", "source", "pass", "subject", "visible")
_STREAM: Final = "table"
_FRAMES: Final = ("device", "sensor")
_SOURCE: Final = "narrations"
_YES_NO: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class FolderReader(RootedReader):
    """Reads a folder in the project's own plain layout."""

    name = "folder"
    metadata = ("takes.*", "narrations.*")

    def read_catalogue(self) -> Catalogue:
        """Return every take of the takes table and every sentence of the narrations table.

        A file that is missing or outside the folder is its take's fault; sentences about takes
        that are not in the table are counted in ``ignored``.

        Raises:
            UsageError: if a table is missing or broken, with table, row and column; if takes are in
                different frames; or if the config asks for a picture that is not there.
        """
        root = self._check_root("a folder with takes.csv")
        self._wanted_variants("full")
        takes: dict[str, Take] = {}
        faults: dict[str, TakeError] = {}
        splits: dict[str, str] = {}
        frames: dict[str, str] = {}
        for place, row in read_rows(root, "takes", columns=TAKE_COLUMNS, needed=("take_uid",)):
            uid = text_cell(row, "take_uid")
            if uid is None:
                raise UsageError(f"take_uid must be in every row, got none [{place}]")
            if uid in takes:
                raise UsageError(f"take_uid must be unique, got {uid} twice [{place}]")
            takes[uid] = self._make_take(uid, row, place=place)
            frames.setdefault(choice_cell(row, "imu_frame", _FRAMES, place=place) or "device", uid)
            split = choice_cell(row, "split", SPLITS, place=place)
            if split is not None:
                splits[uid] = split
            fault = self._find_fault(takes[uid])
            if fault is not None:
                faults[uid] = fault
        if len(frames) > 1:
            raise UsageError(
                f"imu_frame must be one for all takes, got device for {frames['device']} and "
                f"sensor for {frames['sensor']} [{root}]"
            )
        narrations, ignored = self._read_narrations(takes)
        return Catalogue(
            takes=tuple(takes[uid] for uid in sorted(takes)),
            narrations=narrations,
            faults=faults,
            ignored=ignored,
            official_split=splits,
        )

    def read_clock(self, take: Take) -> TakeClock:
        """Return the take's clock: zero at the first video frame, or where the table puts it.

        With video the take spans it; without, it spans the IMU's samples from zero on.

        Raises:
            TakeError: as ``probe_video`` or ``read_table_ends``; ``imu_missing`` without video if
                no sample lies at or after zero; ``streams_missing`` without any file.
        """
        zero_ns = int(take.extras["first_frame_ns"] or 0)
        if take.video is not None:
            end_ns = probe_video(self._file(take.video.path)).duration_ns
            span = Interval(0, end_ns)
        elif take.imu is not None:
            first_ns, last_ns = read_table_ends(self._file(take.imu.path))
            span = Interval(max(0, first_ns - zero_ns), max(0, last_ns - zero_ns))
            if span.duration_ns == 0:
                raise TakeError(
                    "imu_missing",
                    f"IMU table must reach beyond first_frame_ns={zero_ns}, got stamps from "
                    f"{first_ns} to {last_ns} [{take.take_name}]",
                )
        else:
            raise TakeError(
                "streams_missing", f"take must have a video or an IMU file [{take.take_name}]"
            )
        take_ns = np.array([0, max(span.end_ns, 1)], dtype=np.int64)
        return TakeClock(device_ns=take_ns + zero_ns, take_ns=take_ns, span=span)

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        """Open the take's IMU table.

        Raises:
            TakeError: ``imu_file_missing``, or from the runs as ``read_table_runs``.
        """
        if take.imu is None:
            raise TakeError("imu_file_missing", f"take must have an IMU file [{take.take_name}]")
        path = self._file(take.imu.path)
        return ImuRecording(
            runs=read_table_runs(path, clock=clock),
            frame=str(take.extras["imu_frame"]),
            stream=_STREAM,
        )

    def _make_take(self, uid: str, row: Row, *, place: str) -> Take:
        participant, video, imu = (text_cell(row, name) for name in ("participant", "video", "imu"))
        duration_s = number_cell(row, "duration_s", place=place)
        if duration_s is not None and duration_s <= 0:
            raise UsageError(f"duration_s must be positive, got {duration_s:g} [{place}]")
        if imu is not None and not imu.lower().endswith((".parquet", ".pq", ".csv")):
            raise UsageError(f"imu must name a .parquet or .csv file, got {imu} [{place}]")
        return Take(
            dataset=self.name,
            take_uid=uid,
            take_name=text_cell(row, "take_name") or uid,
            participant=self._participant(participant),
            label=text_cell(row, "label"),
            video=None if video is None else VideoStream(path=video, variant="full"),
            imu=None if imu is None else ImuStream(path=imu, label=_STREAM),
            duration_ns=None if duration_s is None else seconds_to_ns(duration_s),
            extras=MappingProxyType(
                {
                    "first_frame_ns": whole_cell(row, "first_frame_ns", place=place) or 0,
                    "imu_frame": text_cell(row, "imu_frame") or "device",
                }
            ),
        )

    def _find_fault(self, take: Take) -> TakeError | None:
        for code, path in (
            ("video_missing", take.video.path if take.video is not None else None),
            ("imu_file_missing", take.imu.path if take.imu is not None else None),
        ):
            try:
                if path is not None:
                    self._require_file(path, code=code)
            except TakeError as error:
                return error
        return None

    def _read_narrations(
        self, takes: Mapping[str, Take]
    ) -> tuple[dict[str, tuple[Narration, ...]], dict[str, int]]:
        found: dict[str, list[Narration]] = {}
        ignored: dict[str, int] = {}
        first_pass: dict[tuple[str, str], str] = {}
        sources: set[str] = set()
        root = self._config.root
        wanted = self._text.sources
        for place, row in read_rows(
            root,
            "narrations",
            columns=NARRATION_COLUMNS,
            needed=("take_uid", "t_ns", "text"),
            may_lack=True,
        ):
            uid, t_ns = text_cell(row, "take_uid"), whole_cell(row, "t_ns", place=place)
            if uid is None or t_ns is None:
                raise UsageError(f"take_uid and t_ns must be in every row, got a gap [{place}]")
            if uid not in takes:
                ignored["unknown_take"] = ignored.get("unknown_take", 0) + 1
                continue
            source = text_cell(row, "source") or _SOURCE
            sources.add(source)
            if wanted is not None and source not in wanted:
                ignored["other_source"] = ignored.get("other_source", 0) + 1
                continue
            pass_uid = text_cell(row, "pass") or "1"
            if self._text.passes == "first" and (
                first_pass.setdefault((uid, source), pass_uid) != pass_uid
            ):
                ignored["later_pass"] = ignored.get("later_pass", 0) + 1
                continue
            visible = text_cell(row, "visible")
            if visible is not None and visible.lower() not in _YES_NO:
                raise UsageError(f"visible must be true, false or empty, got {visible} [{place}]")
            found.setdefault(uid, []).append(
                Narration(
                    narration_ns=t_ns,
                    text_raw=text_cell(row, "text") or "",
                    text="",
                    text_source=source,
                    pass_uid=pass_uid,
                    subject=choice_cell(row, "subject", ("wearer", "other"), place=place),
                    visible=None if visible is None else _YES_NO[visible.lower()],
                )
            )
        strangers = sorted(set(wanted or ()) - sources)
        if strangers:
            raise UsageError(
                f"text.sources must be among {', '.join(sorted(sources)) or 'none'}, got "
                f"{', '.join(strangers)} [{root}]"
            )
        narrations = {
            uid: tuple(sorted(entries, key=narration_order)) for uid, entries in found.items()
        }
        return narrations, ignored
