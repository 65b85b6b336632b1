"""What a VRS file says of itself: its streams, their tags and its own.

The layout is that of VRS's ``FileFormat.h``: an 80-byte file header, a description record, user
records one after the other, and an index record behind or before them, compressed or not. Every
size and offset read is held against the file's own length before it is used.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from schemas.errors import TakeError

__all__ = [
    "DATA_RECORD",
    "MOST_STREAMS",
    "RECORD_HEADER",
    "DamagedVrsError",
    "UnknownVrsError",
    "VrsFile",
    "VrsStream",
    "read_record_header",
    "read_vrs_file",
]

_FILE_HEADER: Final = struct.Struct("<8sQIIqqqQQQ4s4s")
_MAGIC: Final = (b"VisionRe", b"cord")

RECORD_HEADER: Final = np.dtype(
    [
        ("record_size", "<u4"),
        ("previous_size", "<u4"),
        ("type_id", "<i4"),
        ("format_version", "<u4"),
        ("timestamp", "<f8"),
        ("instance", "<u2"),
        ("record_type", "u1"),
        ("compression", "u1"),
        ("unpacked_size", "<u4"),
    ]
)
"""In front of every record, and counted in its size."""

DATA_RECORD: Final = 3
"""Record type of a stream's data; others hold its configuration, state or tags."""

MOST_STREAMS: Final = 10_000
"""A file that tells of more is damaged."""

# A factory calibration of many cameras takes 100 kB; as tags, bytes take ten times the room.
_MOST_DESCRIPTION: Final = 4 << 20


class UnknownVrsError(Exception):
    """The file may be sound, but is written in a way that only the VRS library reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VrsStream:
    """One stream of a file.

    Attributes:
        type_id: what the stream records, 1202 for an IMU.
        instance: number among the streams of its type.
        vrs_tags: what VRS itself noted, the layout of the stream's records among it.
    """

    type_id: int
    instance: int
    vrs_tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class VrsFile:
    """A file's description.

    Attributes:
        path: of the file.
        size: of the file, bytes.
        streams: as described.
        tags: of the file as a whole.
        first_record: where the records begin that the index tells of.
        index_offset: where the index record begins, 0 where there is none.
    """

    path: Path
    size: int
    streams: tuple[VrsStream, ...]
    tags: Mapping[str, str]
    first_record: int
    index_offset: int


def read_vrs_file(path: Path) -> VrsFile:
    """Read a file's header and description; the records are left alone.

    Raises:
        TakeError: ``vrs_unreadable`` if the file is no VRS file or is damaged there.
        UnknownVrsError: if header or description are of another version, or the description is
            far larger than any known.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _read_description(file, path=path, size=size)
    except (OSError, DamagedVrsError) as error:
        raise TakeError("vrs_unreadable", f"VRS must be readable, got {error} [{path}]") from error


class DamagedVrsError(Exception):
    """A size, a number or an offset in the file cannot be."""


def _read_description(file: BinaryIO, *, path: Path, size: int) -> VrsFile:
    raw = file.read(_FILE_HEADER.size)
    if len(raw) < _FILE_HEADER.size:
        raise DamagedVrsError(f"a file of {len(raw)} bytes")
    head, _, header_size, record_header_size, index, description, first, *_, tail, version = (
        _FILE_HEADER.unpack(raw)
    )
    if (head, tail) != _MAGIC:
        raise DamagedVrsError("another format")
    if version[:3] != b"VRS" or record_header_size != RECORD_HEADER.itemsize:
        raise UnknownVrsError(f"version {version!r}")
    record, body = _read_description_record(file, offset=description, size=size)
    if (int(record["type_id"]), int(record["format_version"])) != (2, 2) or record["compression"]:
        raise UnknownVrsError(f"description record of type {record['type_id']}")
    after = description + int(record["record_size"])
    if not header_size <= (first or after) <= size:
        raise DamagedVrsError(f"a first record at {first} of {size} bytes")
    fields = _Fields(body)
    streams = []
    for _ in range(fields.count(most=MOST_STREAMS)):
        type_id, instance = fields.unpack("<iH")
        fields.text_map()
        streams.append(
            VrsStream(type_id=type_id, instance=instance, vrs_tags=_decode(fields.text_map()))
        )
    return VrsFile(
        path=path,
        size=size,
        streams=tuple(streams),
        tags=_decode(fields.text_map()),
        first_record=first or after,
        index_offset=index,
    )


def _read_description_record(file: BinaryIO, *, offset: int, size: int) -> tuple[np.void, bytes]:
    """Return a record's header and body."""
    header = read_record_header(file, offset=offset, size=size)
    length = int(header["record_size"]) - RECORD_HEADER.itemsize
    if offset + int(header["record_size"]) > size:
        raise DamagedVrsError(f"a record of {length} bytes at {offset} of {size}")
    if length > _MOST_DESCRIPTION:
        raise UnknownVrsError(f"a description of {length} bytes")
    return header, file.read(length)


def read_record_header(file: BinaryIO, *, offset: int, size: int) -> np.void:
    """Return the header of the record at ``offset``; ``size`` is the file's.

    Raises:
        DamagedVrsError: if none can be there.
    """
    if not 0 < offset <= size - RECORD_HEADER.itemsize:
        raise DamagedVrsError(f"a record at {offset} of {size} bytes")
    file.seek(offset)
    header: np.void = np.frombuffer(file.read(RECORD_HEADER.itemsize), RECORD_HEADER)[0]
    if int(header["record_size"]) < RECORD_HEADER.itemsize:
        raise DamagedVrsError(f"a record of {header['record_size']} bytes at {offset}")
    return header


class _Fields:
    """Numbers and texts of a record's body, one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    def unpack(self, form: str) -> tuple[int, ...]:
        try:
            numbers = struct.unpack_from(form, self._body, self._at)
        except struct.error as error:
            raise DamagedVrsError(f"a description cut off at byte {self._at}") from error
        self._at += struct.calcsize(form)
        return numbers

    def count(self, *, most: int) -> int:
        (number,) = self.unpack("<I")
        if number > most:
            raise DamagedVrsError(f"{number} entries in a description")
        return number

    def text(self) -> bytes:
        length = self.count(most=len(self._body) - self._at)
        self._at += length
        if self._at > len(self._body):
            raise DamagedVrsError("a text longer than the description")
        return self._body[self._at - length : self._at]

    def text_map(self) -> dict[bytes, bytes]:
        # An entry takes eight bytes at least.
        return {
            self.text(): self.text()
            for _ in range(self.count(most=(len(self._body) - self._at) // 8))
        }


def _decode(texts: Mapping[bytes, bytes]) -> dict[str, str]:
    # A tag that nobody asks for may hold any bytes.
    return {k.decode(errors="replace"): v.decode(errors="replace") for k, v in texts.items()}
