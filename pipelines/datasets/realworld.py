"""RealWorld HAR (Sztyler and Stuckenschmidt, PerCom 2016): phones worn in seven places, no video.

The folder is the distributed archive unpacked once: ``proband<N>/data/*.zip``; the zip files inside
are read as they are. A take is one part of one person's recording of one activity by the device in
one place. Each device has a clock of its own: nothing ties the places together, so they are never
compared, and neither are the parts of a recording that was interrupted.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final

import numpy as np

from pipelines.align.clock import TakeClock
from pipelines.datasets.base import Catalogue, ImuRecording
from pipelines.datasets.rooted import RootedReader
from pipelines.imu.realworld_zip import (
    ARCHIVE_NAME,
    BrokenArchive,
    RecordedTriad,
    ZipMember,
    cut_runs,
    list_recordings,
    name_broken_archive,
    read_recording,
)
from schemas.errors import TakeError, UsageError
from schemas.take import ImuStream, Take
from schemas.time import Interval

__all__ = ["REALWORLD_LABELS", "RealWorldReader"]

REALWORLD_LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "climbingdown": "climbing down",
        "climbingup": "climbing up",
        "jumping": "jumping",
        "lying": "lying",
        "running": "running",
        "sitting": "sitting",
        "standing": "standing",
        "walking": "walking",
    }
)
_PROBAND: Final = re.compile(r"proband(\d+)")
_SENSOR_NAMES: Final = {"acc": "accelerometer", "gyr": "gyroscope"}


@dataclass(frozen=True, slots=True)
class _File:
    archive: str
    """Relative to the root."""
    member: ZipMember


class RealWorldReader(RootedReader):
    """Reads RealWorld HAR from the zip files as distributed."""

    name = "realworld"

    def read_catalogue(self) -> Catalogue:
        """Return a take for each person, activity, part and place of ``dataset.positions``.

        ``take_uid`` is such as ``proband4-climbingup-2-head``. A place that was worn in no file of
        a recording, or lacks one of its two sensors there, is that take's fault. A damaged archive
        is the fault of the takes whose files it held.

        Raises:
            UsageError: if the folder is not there or holds no archive of a known activity.
        """
        root = self._check_root("a RealWorld HAR folder")
        archives = _find_archives(root)
        if not archives:
            packed = sorted(path.name for path in root.glob("*.zip"))
            hint = f"; unpack {packed[0]} there once" if packed else ""
            raise UsageError(
                f"dataset.root must hold proband<N>/data/acc_<activity>_csv.zip, got none in "
                f"{root}{hint}"
            )
        takes: dict[str, Take] = {}
        faults: dict[str, TakeError] = {}
        for (proband, activity), paths in archives.items():
            files, broken = self._list(paths, activity=activity)
            for position in self._config.positions:
                for take, fault in _pair_up(
                    [f for f in files if f.member.position == position],
                    broken=broken,
                    proband=proband,
                    activity=activity,
                    position=position,
                ):
                    takes[take.take_uid] = take
                    if fault is not None:
                        faults[take.take_uid] = fault
        return Catalogue(
            takes=tuple(takes[uid] for uid in sorted(takes)), narrations={}, faults=faults
        )

    def read_clock(self, take: Take) -> TakeClock:
        """Return the take's clock: the device's own from the first instant both sensors exist.

        Raises:
            TakeError: ``imu_missing`` if the sensors never run together, or as ``read_recording``.
        """
        accel, gyro = self._read(take)
        origin_ns, span = _common(accel, gyro, take=take)
        take_ns = np.array([0, span.end_ns], dtype=np.int64)
        return TakeClock(device_ns=take_ns + origin_ns, take_ns=take_ns, span=span)

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        """Open the take's samples, in the device's own axes: no phone was ever calibrated.

        Raises:
            TakeError: as ``read_clock``.
        """
        accel, gyro = self._read(take)
        info: dict[str, str | int | float] = {}
        for name, triad in (("accel", accel), ("gyro", gyro)):
            info[f"{name}_samples"] = len(triad.t_ns)
            info[f"{name}_invalid"] = len(triad.invalid_ns)
            info[f"{name}_backward"] = triad.backward
            info[f"{name}_duplicates"] = triad.duplicates
            info[f"{name}_unstamped"] = triad.unstamped
        return ImuRecording(
            runs=cut_runs(accel, gyro=gyro, origin_ns=int(clock.device_ns[0])),
            frame="sensor",
            stream=take.imu.label if take.imu is not None else "",
            info=info,
        )

    def _list(
        self, archives: list[str], *, activity: str
    ) -> tuple[list[_File], list[BrokenArchive]]:
        """Return the files of an activity in some archives, and which of those are damaged."""
        files: list[_File] = []
        broken: list[BrokenArchive] = []
        for relative in archives:
            try:
                listing = list_recordings(self._file(relative))
            except TakeError as error:
                lost = name_broken_archive(PurePosixPath(relative).name, fault=error)
                broken += [lost] if lost is not None else []
                continue
            files += [_File(relative, m) for m in listing.members if m.activity == activity]
            # Beside others in an archive, the one without a number is the first.
            broken += [
                replace(one, part=one.part or 1)
                for one in listing.broken
                if one.activity == activity
            ]
        return files, broken

    def _read(self, take: Take) -> tuple[RecordedTriad, RecordedTriad]:
        if take.imu is None:
            raise TakeError("imu_file_missing", f"take must have both sensors [{take.take_name}]")
        paths = (take.imu.path, *take.imu.later_paths)
        accel, gyro = (
            read_recording(self._file(path), str(take.extras[f"{sensor}_member"]))
            for path, sensor in zip((paths[0], paths[-1]), _SENSOR_NAMES, strict=True)
        )
        return accel, gyro


def _find_archives(root: Path) -> dict[tuple[int, str], list[str]]:
    """Return the archives of each person and activity, relative to the root, by name."""
    found: defaultdict[tuple[int, str], list[str]] = defaultdict(list)
    for folder in sorted(root.iterdir()):
        proband = _PROBAND.fullmatch(folder.name)
        if proband is None or not (folder / "data").is_dir():
            continue
        for path in sorted((folder / "data").iterdir()):
            archive = ARCHIVE_NAME.fullmatch(path.name)
            if archive is not None and archive[2] in REALWORLD_LABELS:
                found[int(proband[1]), archive[2]].append(path.relative_to(root).as_posix())
    return dict(found)


def _pair_up(
    files: list[_File],
    *,
    broken: list[BrokenArchive],
    proband: int,
    activity: str,
    position: str,
) -> list[tuple[Take, TakeError | None]]:
    """Return a take for each part, with what rules it out."""
    parts: dict[str, defaultdict[int, list[_File]]] = {
        sensor: defaultdict(list) for sensor in _SENSOR_NAMES
    }
    for file in files:
        parts[file.member.sensor][file.member.part].append(file)
    for archive in broken:
        if archive.part is not None:
            _ = parts[archive.sensor][archive.part]  # it was there, whatever it held
    accel, gyro = parts["acc"], parts["gyr"]
    if len(accel) == len(gyro) == 1 and accel.keys() != gyro.keys():
        # Some single recordings carry a number in one sensor's file name and none in the other's.
        gyro[next(iter(accel))] = gyro.pop(next(iter(gyro)))
    made: list[tuple[Take, TakeError | None]] = []
    for part in sorted({*accel, *gyro}) or [1]:
        found = {sensor: parts[sensor].get(part, []) for sensor in _SENSOR_NAMES}
        fault = _find_fault(
            found, broken, part=part, what=f"{activity}, part {part}, {position}", proband=proband
        )
        pair = None if fault is not None else (found["acc"][0], found["gyr"][0])
        uid = f"proband{proband}-{activity}-{part}-{position}"
        made.append((_make_take(uid, proband, activity, position, pair=pair), fault))
    return made


def _find_fault(
    found: dict[str, list[_File]],
    broken: list[BrokenArchive],
    *,
    part: int,
    what: str,
    proband: int,
) -> TakeError | None:
    """Return why a part is no take, None where it has one file of each sensor."""
    lacking = [sensor for sensor in _SENSOR_NAMES if not found[sensor]]
    for archive in broken:
        # It may have held what is missing.
        if archive.sensor in lacking and archive.part in (part, None):
            return archive.fault
    for sensor, said in _SENSOR_NAMES.items():
        here = found[sensor]
        if len(here) > 1:
            names = " and ".join(f"{f.archive}/{f.member.name}" for f in here)
            return TakeError("imu_file_ambiguous", f"{said} must have one file a part, got {names}")
        if not here:
            return TakeError(
                "imu_file_missing",
                f"{said} must have a file for {what}, got none [proband{proband}/data]",
            )
    return None


def _make_take(
    uid: str, proband: int, activity: str, position: str, *, pair: tuple[_File, _File] | None
) -> Take:
    imu: ImuStream | None = None
    extras: dict[str, str] = {}
    if pair is not None:
        archives = tuple(dict.fromkeys(file.archive for file in pair))
        imu = ImuStream(path=archives[0], label=position, later_paths=archives[1:])
        # Takes of one recording share their archives: the members tell them apart in the keys.
        extras = {f"{file.member.sensor}_member": file.member.name for file in pair}
    return Take(
        dataset="realworld",
        take_uid=uid,
        take_name=uid,
        participant=f"realworld:{proband}",
        label=REALWORLD_LABELS[activity],
        video=None,
        imu=imu,
        extras=MappingProxyType(extras),
    )


def _common(accel: RecordedTriad, gyro: RecordedTriad, *, take: Take) -> tuple[int, Interval]:
    """Return the device time at which both sensors exist, and the take's span from there."""
    if len(accel.t_ns) and len(gyro.t_ns):
        start_ns = max(int(accel.t_ns[0]), int(gyro.t_ns[0]))
        end_ns = min(int(accel.t_ns[-1]), int(gyro.t_ns[-1]))
        if end_ns > start_ns:
            return start_ns, Interval(0, end_ns - start_ns)
    raise TakeError(
        "imu_missing", f"accelerometer and gyroscope must run at one time [{take.take_name}]"
    )
