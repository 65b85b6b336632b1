"""The key-length-value records of a GoPro metadata payload (GPMF), walked with bounds checked.

The layout is that of GoPro's "GPMF Introduction": big-endian, a four-character key, a type
character, the size of one structure, their number, then the data padded to four bytes; type 0 nests
further records. A payload holds devices (``DEVC``), a device its streams (``STRM``), and a stream
its properties followed by one array of samples.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = [
    "GpmfError",
    "GpmfStream",
    "KlvRecord",
    "find_text",
    "full_range",
    "read_samples",
    "read_streams",
]

_HEADER_BYTES: Final = 8
_NUMBERS: Final = {"b": ">i1", "B": ">u1", "s": ">i2", "S": ">u2", "l": ">i4", "L": ">u4"} | {
    "j": ">i8",
    "J": ">u8",
    "f": ">f4",
    "d": ">f8",
}


class GpmfError(ValueError):
    """The bytes are not GPMF, or end too early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KlvRecord:
    """One record: ``repeat`` structures of ``size`` bytes and a type character."""

    key: str
    kind: str
    size: int
    repeat: int
    data: bytes

    def text(self) -> str:
        """Return the data as a string, without its padding."""
        return self.data.rstrip(b"\0").decode("latin-1")

    def numbers(self) -> npt.NDArray[np.float64]:
        """Return the data as numbers (repeat, elements), unscaled.

        Raises:
            GpmfError: if the type is not a number or does not divide the structure.
        """
        dtype = np.dtype(_NUMBERS.get(self.kind, "V1"))
        if dtype.kind == "V" or self.size == 0 or self.size % dtype.itemsize:
            raise GpmfError(
                f"{self.key} must hold numbers, got type {self.kind!r} of {self.size} bytes"
            )
        values = np.frombuffer(self.data, dtype=dtype).astype(np.float64)
        return values.reshape(self.repeat, self.size // dtype.itemsize)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpmfStream:
    """One stream of a payload."""

    device: str
    """The device's name (``DVNM``), empty where it has none."""
    records: Mapping[str, KlvRecord]
    """By key; a key that repeats keeps its last record."""


def read_streams(payload: bytes) -> list[GpmfStream]:
    """Return every stream of a payload, devices in order.

    Raises:
        GpmfError: if a record reaches beyond its parent, or the first is no device.
    """
    if payload[:4] != b"DEVC":
        raise GpmfError(f"payload must begin with DEVC, got {payload[:4]!r}")
    streams: list[GpmfStream] = []
    for device in _walk(payload):
        if device.key != "DEVC":
            continue
        name = ""
        for record in _walk(device.data):
            if record.key == "DVNM":
                name = record.text()
            elif record.key == "STRM":
                records = {inner.key: inner for inner in _walk(record.data)}
                streams.append(GpmfStream(device=name, records=records))
    return streams


def read_samples(stream: GpmfStream, key: str) -> npt.NDArray[np.float64]:
    """Return a stream's samples (n, elements) divided by its scale, in file order.

    Raises:
        GpmfError: if the samples or ``SCAL`` are no numbers, or the scale does not fit or is 0.
    """
    values = stream.records[key].numbers()
    if "SCAL" not in stream.records:
        return values
    scale = stream.records["SCAL"].numbers().reshape(-1)
    usable = scale.all() and np.isfinite(scale).all()
    if len(scale) not in (1, values.shape[1]) or not usable:
        raise GpmfError(
            f"SCAL of {key} must be 1 or {values.shape[1]} numbers other than 0, got {scale}"
        )
    # What leaves the range of float64 is infinite, and no sample.
    with np.errstate(over="ignore"):
        scaled: npt.NDArray[np.float64] = values / scale
    return scaled


def full_range(record: KlvRecord) -> tuple[float, float]:
    """Return the least and the greatest number a record's type can hold; infinite for floats."""
    dtype = np.dtype(_NUMBERS.get(record.kind, ">f8"))
    if dtype.kind == "f":
        return -np.inf, np.inf
    limits = np.iinfo(dtype)
    return float(limits.min), float(limits.max)


def find_text(payload: bytes, key: str) -> str:
    """Return the text of the first record ``key``, however deep it is nested; empty without one.

    Raises:
        GpmfError: if a record reaches beyond its parent.
    """
    # A stack of our own: records may nest deeper than Python calls.
    walks = [_walk(payload)]
    while walks:
        record = next(walks[-1], None)
        if record is None:
            walks.pop()
        elif record.key == key and (found := record.text()):
            return found
        elif not record.kind:
            walks.append(_walk(record.data))
    return ""


def _walk(data: bytes) -> Iterator[KlvRecord]:
    at = 0
    while at + _HEADER_BYTES <= len(data):
        key = data[at : at + 4]
        if key == b"\0\0\0\0":  # padding up to the end of the payload
            return
        size, repeat = data[at + 5], int.from_bytes(data[at + 6 : at + 8], "big")
        start, length = at + _HEADER_BYTES, size * repeat
        if start + length > len(data):
            raise GpmfError(
                f"{key.decode('latin-1')} must end inside its parent of {len(data)} bytes, "
                f"got {start + length}"
            )
        yield KlvRecord(
            key=key.decode("latin-1"),
            kind=chr(data[at + 4]) if data[at + 4] else "",
            size=size,
            repeat=repeat,
            data=data[start : start + length],
        )
        at = start + (length + 3) // 4 * 4
    if at < len(data) and any(data[at:]):
        raise GpmfError(f"{len(data) - at} bytes must be a whole record at the end of {len(data)}")
