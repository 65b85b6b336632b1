"""RealWorld HAR's recordings: CSV files in zip archives, some of which hold further archives.

Nothing is unpacked to disk. A file is 2 to 4 MB, so one is read as a whole; what claims to be far
larger is refused.
"""

import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from pipelines.imu.plausible import find_plausible
from schemas.errors import TakeError
from schemas.imu import ImuSamples, TriadSamples
from schemas.limits import LARGEST_ZIP_BYTES, LARGEST_ZIP_MEMBER_BYTES, MOST_ZIP_MEMBERS
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = [
    "ARCHIVE_NAME",
    "ArchiveListing",
    "BrokenArchive",
    "RecordedTriad",
    "ZipMember",
    "cut_runs",
    "list_recordings",
    "name_broken_archive",
    "read_recording",
]

ARCHIVE_NAME: Final = re.compile(r"(acc|gyr|Gyroscope)_([a-z]+)(?:_(\d+))?_csv\.zip")
_CSV_NAME: Final = re.compile(r"(acc|gyr|Gyroscope)_([a-z]+)(?:_(\d+))?_([a-z]+)\.csv")
_SENSORS: Final = {"acc": "acc", "gyr": "gyr", "Gyroscope": "gyr"}
_COLUMNS: Final = {
    "attr_time": pa.int64(),
    "attr_x": pa.float64(),
    "attr_y": pa.float64(),
    "attr_z": pa.float64(),
}
# What names and sizes a central directory has of each of its members, by far.
_DIRECTORY_ENTRY_BYTES: Final = 1 << 10
# The record that ends an archive, with the longest comment behind it (APPNOTE.TXT, 4.3.16).
_END: Final = b"PK\5\6"
_END_BYTES: Final = 22 + 0xFFFF
_ZIP64: Final = b"PK\6\7"
# What zipfile is known to raise for a damaged, encrypted or oddly packed archive, in its members
# too; ValueError is for names that are no text.
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)
_RUN_NS: Final = 60 * NS_PER_S
# The longest recordings have ten minutes; a clock that was set meanwhile jumps by years.
_LONGEST_NS: Final = 24 * 3600 * NS_PER_S
# Past the year 2200, ns since 1970 would no longer fit.
_LAST_MS: Final = 230 * 366 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipMember:
    """One sensor's CSV file inside an archive."""

    sensor: str
    """acc or gyr."""
    activity: str
    """As the file name spells it, such as ``climbingup``."""
    part: int
    """1 where neither the file nor the archive around it has a number."""
    position: str
    """Where the device was worn."""
    name: str
    """Inside the archive; ``inner.zip/file.csv`` where another archive lies between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenArchive:
    """An archive whose files cannot be told: its name alone says of what they were."""

    sensor: str
    """acc or gyr."""
    activity: str
    part: int | None
    """None where the name has no number."""
    fault: TakeError


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveListing:
    """What an archive holds, as far as it can be read."""

    members: tuple[ZipMember, ...]
    broken: tuple[BrokenArchive, ...]
    """Archives inside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTriad:
    """All samples of one sensor, on its device's clock.

    Attributes:
        t_ns: (N,) int64 strictly increasing, ns since 1970 by the device.
        values: (N, 3) float64, m/s2 or rad/s.
        invalid_ns: (K,) int64 non-decreasing: rows with an empty or implausible value, left out.
        backward: rows that stood behind a later one before they were sorted.
        duplicates: rows with the stamp of another one, left out.
        unstamped: rows without a stamp, left out.
    """

    t_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    invalid_ns: npt.NDArray[np.int64]
    backward: int
    duplicates: int
    unstamped: int


def list_recordings(path: Path) -> ArchiveListing:
    """Return the accelerometer and gyroscope files of an archive, those in archives inside it too.

    Other files, such as the readme, are passed over. A damaged archive inside it costs no file but
    its own.

    Raises:
        TakeError: ``imu_file_unreadable`` if the archive is damaged, or one inside it whose name
            does not say what it held; ``imu_file_too_large`` if it is, or holds, far more than a
            recording.
    """
    found: list[ZipMember] = []
    broken: list[BrokenArchive] = []
    with _open_archive(path, place=path.name) as archive:
        for name in archive.namelist():
            base = PurePosixPath(name).name
            if base.startswith(".") or name.endswith("/"):
                continue
            if not base.endswith(".zip"):
                part = _part_of(ARCHIVE_NAME, path.name)
                found += _csv_members([name], prefix="", part=part)
                continue
            try:
                found += _list_inner(archive, name, place=path.name)
            except TakeError as error:
                lost = name_broken_archive(base, fault=error)
                if lost is None:
                    raise
                broken.append(lost)
    found.sort(key=lambda m: (m.sensor, m.activity, m.position, m.part, m.name))
    return ArchiveListing(members=tuple(found), broken=tuple(broken))


def name_broken_archive(name: str, *, fault: TakeError) -> BrokenArchive | None:
    """Return what a damaged archive held by its name; None where that says nothing.

    Args:
        name: of the archive, without folders.
        fault: met in reading it.
    """
    match = ARCHIVE_NAME.fullmatch(name)
    if match is None:
        return None
    return BrokenArchive(
        sensor=_SENSORS[match[1]],
        activity=match[2],
        part=int(match[3]) if match[3] else None,
        fault=fault,
    )


def read_recording(path: Path, name: str) -> RecordedTriad:
    """Read one CSV file of an archive: ``id, attr_time, attr_x, attr_y, attr_z``.

    Args:
        path: archive.
        name: as ``ZipMember.name``.

    Raises:
        TakeError: as ``list_recordings``; ``imu_file_missing`` if it is not in the archive, or
            ``imu_file_malformed`` if it is no such table, or its stamps cannot be.
    """
    place = f"{path.name}/{name}"
    with _open_archive(path, place=path.name) as archive:
        outer, found, inner_name = name.partition(".zip/")
        if not found:
            data = _read(archive, name, place=path.name)
        else:
            packed = _read(archive, f"{outer}.zip", place=path.name)
            with _open_archive(io.BytesIO(packed), place=f"{path.name}/{outer}.zip") as inner:
                data = _read(inner, inner_name, place=f"{path.name}/{outer}.zip")
    try:
        table = pacsv.read_csv(
            io.BytesIO(data),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(_COLUMNS), column_types=_COLUMNS
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        said = str(error).splitlines()[0]
        raise TakeError(
            "imu_file_malformed",
            f"IMU file must have columns {', '.join(_COLUMNS)} of numbers, got: {said} [{place}]",
        ) from error
    return _sort_out(table, place=place)


def cut_runs(accel: RecordedTriad, *, gyro: RecordedTriad, origin_ns: int) -> Iterator[ImuSamples]:
    """Yield the samples of both sensors minute by minute.

    Args:
        accel: accelerometer.
        gyro: gyroscope, on the same clock.
        origin_ns: device time of the take's zero, subtracted from every stamp.
    """
    triads = (accel, gyro)
    first_ns = min(int(s[0]) for t in triads for s in (t.t_ns, t.invalid_ns) if len(s))
    last_ns = max(int(s[-1]) for t in triads for s in (t.t_ns, t.invalid_ns) if len(s))
    for start_ns in range(first_ns, last_ns + 1, _RUN_NS):
        cut = [_between(t, start_ns, start_ns + _RUN_NS, origin_ns=origin_ns) for t in triads]
        yield ImuSamples(
            accel=cut[0][0],
            gyro=cut[1][0],
            invalid_ns=np.sort(np.concatenate([invalid_ns for _, invalid_ns in cut])),
        )


def _between(
    triad: RecordedTriad, start_ns: int, end_ns: int, *, origin_ns: int
) -> tuple[TriadSamples, npt.NDArray[np.int64]]:
    low, high = np.searchsorted(triad.t_ns, [start_ns, end_ns])
    bad_low, bad_high = np.searchsorted(triad.invalid_ns, [start_ns, end_ns])
    samples = TriadSamples(t_ns=triad.t_ns[low:high] - origin_ns, values=triad.values[low:high])
    return samples, triad.invalid_ns[bad_low:bad_high] - origin_ns


def _sort_out(table: pa.Table, *, place: str) -> RecordedTriad:
    stamps = table["attr_time"]
    stamped = np.asarray(stamps.is_valid(), np.bool_)
    t_ms = np.asarray(stamps.fill_null(0), np.int64)[stamped]
    _check_stamps(t_ms, place=place)
    t_ns = t_ms * NS_PER_MS
    # An empty cell becomes NaN.
    xyz = [np.asarray(table[name].fill_null(np.nan)) for name in list(_COLUMNS)[1:]]
    values = np.stack(xyz, axis=1).astype(np.float64)[stamped]
    backward = int((np.diff(t_ns) < 0).sum())
    # Stable, so that of rows with one stamp the first in the file is kept.
    order = np.argsort(t_ns, kind="stable")
    t_ns, values = t_ns[order], values[order]
    plausible = find_plausible(values)
    invalid_ns = t_ns[~plausible]
    t_ns, values = t_ns[plausible], values[plausible]
    first = np.diff(t_ns, prepend=np.int64(-1)) > 0
    return RecordedTriad(
        t_ns=t_ns[first],
        values=values[first],
        invalid_ns=invalid_ns,
        backward=backward,
        duplicates=int((~first).sum()),
        unstamped=int((~stamped).sum()),
    )


def _check_stamps(t_ms: npt.NDArray[np.int64], *, place: str) -> None:
    if not len(t_ms):
        return
    first, last = int(t_ms.min()), int(t_ms.max())
    if first < 0 or last > _LAST_MS or (last - first) * NS_PER_MS > _LONGEST_NS:
        raise TakeError(
            "imu_file_malformed",
            f"attr_time must be ms since 1970, all within {_LONGEST_NS // (3600 * NS_PER_S)} h, "
            f"got {first} to {last} [{place}]",
        )


def _part_of(pattern: re.Pattern[str], name: str) -> int | None:
    match = pattern.fullmatch(name)
    return int(match[3]) if match and match[3] else None


def _csv_members(names: list[str], *, prefix: str, part: int | None) -> list[ZipMember]:
    found = []
    for name in names:
        match = _CSV_NAME.fullmatch(PurePosixPath(name).name)
        if match:
            own = int(match[3]) if match[3] else None
            found.append(
                ZipMember(
                    sensor=_SENSORS[match[1]],
                    activity=match[2],
                    part=own or part or 1,
                    position=match[4],
                    name=f"{prefix}{name}",
                )
            )
    return found


def _list_inner(archive: zipfile.ZipFile, name: str, *, place: str) -> list[ZipMember]:
    """Return the files of an archive inside another.

    Raises:
        TakeError: as ``list_recordings``.
    """
    inner_place = f"{place}/{name}"
    # The damage may be in its packing: that too is its own, not that of the archive around it.
    with _zip_faults(inner_place):
        data = _read(archive, name, place=place)
    with _open_archive(io.BytesIO(data), place=inner_place) as inner:
        part = _part_of(ARCHIVE_NAME, PurePosixPath(name).name)
        return _csv_members(inner.namelist(), prefix=f"{name}/", part=part)


@contextmanager
def _open_archive(source: Path | io.BytesIO, *, place: str) -> Iterator[zipfile.ZipFile]:
    with _zip_faults(place):
        _check_directory(source, place=place)
        with zipfile.ZipFile(source) as archive:
            yield archive


@contextmanager
def _zip_faults(place: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise TakeError(
            "imu_file_unreadable", f"archive must be a whole zip file, got: {error} [{place}]"
        ) from error


def _check_directory(source: Path | io.BytesIO, *, place: str) -> None:
    """Refuse an archive by its last record: zipfile makes objects of its directory as a whole.

    Raises:
        TakeError: ``imu_file_too_large``.
    """
    with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(max(0, size - _END_BYTES - 20))
        tail = file.read()
        file.seek(0)
    at = tail.rfind(_END)
    directory = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    if tail[max(0, at - 20) : at].startswith(_ZIP64) or size > LARGEST_ZIP_BYTES:
        raise TakeError(
            "imu_file_too_large",
            f"archive must have at most {LARGEST_ZIP_BYTES} bytes and no zip64 directory, got "
            f"{size} bytes [{place}]",
        )
    if directory > MOST_ZIP_MEMBERS * _DIRECTORY_ENTRY_BYTES:
        raise TakeError(
            "imu_file_too_large",
            f"archive must hold at most {MOST_ZIP_MEMBERS} files, got a directory of {directory} "
            f"bytes [{place}]",
        )


def _read(archive: zipfile.ZipFile, name: str, *, place: str) -> bytes:
    try:
        member = archive.getinfo(name)
    except KeyError as error:
        raise TakeError(
            "imu_file_missing", f"archive must hold {name}, got none [{place}]"
        ) from error
    # zipfile makes room for what it is told lies packed in the file.
    for size, rule in ((member.file_size, "unpack to"), (member.compress_size, "be packed into")):
        if size > LARGEST_ZIP_MEMBER_BYTES:
            raise TakeError(
                "imu_file_too_large",
                f"{name} must {rule} at most {LARGEST_ZIP_MEMBER_BYTES} bytes, got {size} "
                f"[{place}]",
            )
    # zipfile hands out no more than the size that was checked.
    return archive.read(name)
