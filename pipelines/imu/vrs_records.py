"""All records of one VRS stream as arrays, without a step per record.

A stream whose records are all of one fixed layout is an array with the rest of the file between its
rows. The index tells where each row begins; rows are then copied out of the mapped file, a bounded
stretch of it at a time. The places themselves, 8 bytes a record, wait in a temporary file where
there are many, so that memory does not grow with the recording.
"""

import json
import mmap
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from pipelines.imu.vrs_file import (
    DATA_RECORD,
    RECORD_HEADER,
    UnknownVrsError,
    VrsFile,
    VrsStream,
)
from pipelines.imu.vrs_index import RecordEntries, read_index_entries, walk_record_headers
from pipelines.storage.faults import temporary_faults

__all__ = ["StreamRecords", "open_stream_records", "parse_data_layout"]

_WIDTHS: Final = {
    **dict.fromkeys(("Bool", "uint8_t", "int8_t", "char"), 1),
    **dict.fromkeys(("uint16_t", "int16_t"), 2),
    **dict.fromkeys(("uint32_t", "int32_t", "float"), 4),
    **dict.fromkeys(("uint64_t", "int64_t", "double"), 8),
}
_FORMATS: Final = {"Bool": "u1", "int64_t": "<i8", "float": "<f4"}
_PIECE: Final = re.compile(r"DataPiece(Value|Array)<(\w+)>")
_LAYOUT: Final = re.compile(r"DL:Data:(\d{1,9}):0")
_CONTENT: Final = re.compile(r"data_layout(?:/size=(\d{1,6}))?")
_MOST_PAYLOAD: Final = 1 << 16
_PLACE_BYTES: Final = 8
# 17 minutes of 1000 Hz; longer recordings have their places on disk.
_IN_MEMORY: Final = 8 << 20
# Mapped at a time; pages of the file count as the process's while they are.
_MAPPED: Final = 64 << 20


def parse_data_layout(
    stream: VrsStream, *, pieces: Mapping[str, tuple[str, int]]
) -> tuple[int, np.dtype[np.void]]:
    """Return the format version of a stream's data records, and their layout as a dtype.

    The dtype covers the whole record: the fields of ``RECORD_HEADER`` and those of ``pieces``.

    Args:
        stream: as the file describes it.
        pieces: name: element type in VRS's words, such as ``float``, and how many of them.

    Raises:
        UnknownVrsError: if the records are not of one fixed layout that holds all pieces.
    """
    versions = [found[1] for tag in stream.vrs_tags if (found := _LAYOUT.fullmatch(tag))]
    if len(versions) != 1:
        raise UnknownVrsError(f"{len(versions)} layouts of data records")
    (version,) = versions
    content = _CONTENT.fullmatch(stream.vrs_tags.get(f"RF:Data:{version}", ""))
    if content is None:
        raise UnknownVrsError("data records that are not one layout")
    try:
        described = json.loads(stream.vrs_tags[f"DL:Data:{version}:0"])["data_layout"]
        by_name = {piece["name"]: piece for piece in described}
        size = _size(described)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnknownVrsError(f"layout that cannot be read: {error!r}") from error
    if len(by_name) != len(described):
        raise UnknownVrsError("layout that names a piece twice")
    if not 0 < size <= _MOST_PAYLOAD or int(content[1] or size) != size:
        raise UnknownVrsError(f"layout of {size} bytes in records of {content[1]}")
    names, formats, offsets = [], [], []
    for name, (kind, offset, *_) in (RECORD_HEADER.fields or {}).items():
        names.append(name)
        formats.append(kind.str)
        offsets.append(offset)
    for name, (kind_name, length) in pieces.items():
        wanted = f"DataPiece{'Value' if length == 1 else 'Array'}<{kind_name}>"
        piece = by_name.get(name, {})
        if piece.get("type") != wanted or piece.get("size", 1) != length:
            raise UnknownVrsError(f"layout without {name}, {wanted}")
        names.append(name)
        formats.append(_FORMATS[kind_name] if length == 1 else f"{length}{_FORMATS[kind_name]}")
        offsets.append(RECORD_HEADER.itemsize + piece["offset"])
    layout: np.dtype[np.void] = np.dtype(
        {
            "names": names,
            "formats": formats,
            "offsets": offsets,
            "itemsize": RECORD_HEADER.itemsize + size,
        }
    )
    return int(version), layout


def _size(described: Iterable[Mapping[str, Any]]) -> int:
    """Return how long the pieces are together.

    The library lays them out one after the other, wherever they are said to lie.
    """
    size = 0
    for piece in described:
        found = _PIECE.fullmatch(piece["type"])
        offset, length = piece["offset"], piece.get("size", 1)
        if found is None or found[2] not in _WIDTHS:
            raise ValueError(f"piece of type {piece['type']}")
        if type(length) is not int or length < 1 or type(offset) is not int or offset != size:
            raise ValueError(f"piece at {offset} of {length}, after {size} bytes")
        size += length * _WIDTHS[found[2]]
    return size


class StreamRecords:
    """The data records of one stream, in the order of their recording."""

    def __init__(
        self, file: BinaryIO, places: IO[bytes], *, count: int, layout: np.dtype[np.void]
    ) -> None:
        """Read from open files.

        Args:
            file: the VRS file.
            places: (count,) int64: where each record begins, in a file of their own.
            count: of the records.
            layout: of a whole record, from ``parse_data_layout``.
        """
        self._file = file
        self._places = places
        self._count = count
        self._layout = layout

    def __len__(self) -> int:
        return self._count

    def read(self, start: int, stop: int) -> npt.NDArray[np.void]:
        """Return the records ``[start, stop)`` as they lie in the file, unchecked.

        Raises:
            OSError: if the file cannot be read, or has been cut short since it was opened.
        """
        self._places.seek(start * _PLACE_BYTES)
        raw = self._places.read((stop - start) * _PLACE_BYTES)
        places = np.frombuffer(raw, np.int64)
        records = np.empty(len(places), f"V{self._layout.itemsize}")
        first = 0
        while first < len(places):
            low = int(places[first]) // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
            # One record at least, however far apart they lie.
            after = max(int(np.searchsorted(places, low + _MAPPED)), first + 1)
            self._copy(records[first:after], places[first:after], low=low)
            first = after
        return records.view(self._layout)

    def _copy(
        self, records: npt.NDArray[np.void], places: npt.NDArray[np.int64], *, low: int
    ) -> None:
        size = self._layout.itemsize
        length = int(places[-1]) + size - low
        try:
            area = mmap.mmap(self._file.fileno(), length, offset=low, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise OSError(f"file must not become shorter while it is read: {error}") from error
        with area:
            # A row begins at every byte: those at the records' places are theirs.
            rows = np.ndarray((length - size + 1,), records.dtype, buffer=area, strides=(1,))
            records[:] = rows[places - low]
            del rows


@contextmanager
def open_stream_records(
    vrs: VrsFile, *, stream: VrsStream, layout: np.dtype[np.void]
) -> Iterator[StreamRecords]:
    """Find a stream's data records, by the index or, where it is no use, from record to record.

    Args:
        vrs: the file.
        stream: one of its streams.
        layout: of the stream's data records.

    Raises:
        TakeError: ``vrs_unreadable`` if the file is damaged.
        UnknownVrsError: if records are of another size, compressed for example, or lie in another
            order than that of their time.
    """
    with (
        tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as places,
        vrs.path.open("rb") as file,
    ):
        try:
            count = _find(vrs, read_index_entries, stream=stream, layout=layout, places=places)
        except (ValueError, OSError):
            count = _find(vrs, walk_record_headers, stream=stream, layout=layout, places=places)
        yield StreamRecords(file, places, count=count, layout=layout)


def _find(
    vrs: VrsFile,
    read_entries: Callable[[VrsFile], Iterator[tuple[int, RecordEntries]]],
    *,
    stream: VrsStream,
    layout: np.dtype[np.void],
    places: IO[bytes],
) -> int:
    """Write where the stream's data records begin; return how many there are."""
    places.seek(0)
    places.truncate()
    count = 0
    latest = -np.inf
    odd = ""
    for at, entries in read_entries(vrs):
        sizes = entries["record_size"].astype(np.int64)
        mine = entries["instance"] == stream.instance
        mine &= entries["type_id"] == stream.type_id
        mine &= entries["record_type"] == DATA_RECORD
        rows = np.flatnonzero(mine)
        if odd or not len(rows):
            continue
        timestamps = entries["timestamp"].astype(np.float64)[rows]
        # Only the whole index tells whether what is odd is damage, so reading goes on.
        if (sizes[rows] != layout.itemsize).any():
            odd = f"data records that are not of {layout.itemsize} bytes"
        # Written so that NaN is out of order.
        elif not (timestamps[0] >= latest and (timestamps[1:] >= timestamps[:-1]).all()):
            odd = "data records that do not lie in the order of their time"
        latest = timestamps[-1]
        with temporary_faults():
            places.write((at + np.cumsum(sizes)[rows] - layout.itemsize).tobytes())
        count += len(rows)
    if odd:
        raise UnknownVrsError(odd)
    return count
