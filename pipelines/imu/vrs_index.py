"""Where every record of a VRS file begins: by the file's index, or from record to record."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.imu.vrs_file import (
    MOST_STREAMS,
    RECORD_HEADER,
    DamagedVrsError,
    VrsFile,
    read_record_header,
)
from schemas.errors import TakeError

__all__ = ["RecordEntries", "read_index_entries", "walk_record_headers"]

_INDEX_ENTRY: Final = np.dtype(
    [
        ("timestamp", "<f8"),
        ("record_size", "<u4"),
        ("record_type", "u1"),
        ("type_id", "<i4"),
        ("instance", "<u2"),
    ]
)
_INDEX_RECORD: Final = (1, 2)
_CODECS: Final = {1: "lz4", 2: "zstd"}
# Read at a time; 311 kB, which a processor's cache holds.
_ENTRIES: Final = 1 << 14

RecordEntries = npt.NDArray[np.void]
"""(N,) with the fields ``timestamp``, ``record_size``, ``record_type``, ``type_id``, ``instance``
of successive records."""


def read_index_entries(vrs: VrsFile) -> Iterator[tuple[int, RecordEntries]]:
    """Yield where each stretch of records begins in the file, and its index entries.

    The stretches follow each other without a hole, and together are the index.

    Raises:
        ValueError: if the index is missing, damaged, of another version, or does not tell of just
            the records that the file has; some stretches may have been yielded before.
    """
    try:
        with vrs.path.open("rb") as file:
            header = read_record_header(file, offset=vrs.index_offset, size=vrs.size)
    except DamagedVrsError as error:
        raise ValueError(f"index must be readable, got {error}") from error
    kind = (int(header["type_id"]), int(header["format_version"]))
    codec = _CODECS.get(int(header["compression"]))
    if kind != _INDEX_RECORD or (codec is None and header["compression"]):
        raise ValueError(f"index must be of type {_INDEX_RECORD}, got {kind}")
    start = vrs.index_offset + RECORD_HEADER.itemsize
    length = int(header["record_size"]) - RECORD_HEADER.itemsize
    unpacked = length if codec is None else int(header["unpacked_size"])
    # An index before the records is followed by them, one behind them ends them.
    at, end = vrs.first_record, vrs.size
    if vrs.index_offset >= at:
        end = vrs.index_offset
    try:
        with pa.OSFile(str(vrs.path)) as whole:
            head = whole.get_stream(start, length)
            streams = _u4(head)
            if streams > MOST_STREAMS:
                raise ValueError(f"index must tell of {MOST_STREAMS} streams at most")
            _exactly(head, 6 * streams)
            count = _u4(head)
            told = 8 + 6 * streams
            # The size unpacked counts what stands before the entries, packed or not.
            if unpacked != told + count * _INDEX_ENTRY.itemsize:
                raise ValueError(f"index must fill its record, got {count} entries")
            body = whole.get_stream(start + told, length - told)
            stream = body if codec is None else pa.CompressedInputStream(body, codec)
            for first in range(0, count, _ENTRIES):
                some = min(_ENTRIES, count - first)
                raw = _exactly(stream, some * _INDEX_ENTRY.itemsize)
                entries = np.frombuffer(raw, _INDEX_ENTRY)
                yield at, entries
                at += int(entries["record_size"].sum(dtype=np.int64))
                if at > end:
                    # A few packed bytes can tell of more records than a disk holds.
                    break
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"index must be readable, got {error}") from error
    if at != end:
        raise ValueError(f"index must end at byte {end}, got {at}")


def _exactly(stream: pa.NativeFile, length: int) -> bytes:
    read: bytes = stream.read(length)
    if len(read) != length:
        raise ValueError(f"index must go on for {length} bytes, got {len(read)}")
    return read


def _u4(stream: pa.NativeFile) -> int:
    return int.from_bytes(_exactly(stream, 4), "little")


def walk_record_headers(vrs: VrsFile) -> Iterator[tuple[int, RecordEntries]]:
    """Yield what ``read_index_entries`` would, by going from record to record.

    A last record that the file's end cuts off is left out, as a recorder that lost its power
    leaves it.

    Raises:
        TakeError: ``vrs_unreadable`` where no record can begin.
    """
    entries = np.zeros(_ENTRIES, _INDEX_ENTRY)
    start = at = vrs.first_record
    filled = 0
    try:
        with vrs.path.open("rb") as file:
            while at + RECORD_HEADER.itemsize <= vrs.size:
                header = read_record_header(file, offset=at, size=vrs.size)
                at += int(header["record_size"])
                if at > vrs.size:
                    break
                for name in _INDEX_ENTRY.names or ():
                    entries[name][filled] = header[name]
                filled += 1
                if filled == _ENTRIES:
                    yield start, entries
                    start, filled = at, 0
    except (OSError, DamagedVrsError) as error:
        raise TakeError(
            "vrs_unreadable", f"VRS must be readable, got {error} [{vrs.path}]"
        ) from error
    yield start, entries[:filled]
