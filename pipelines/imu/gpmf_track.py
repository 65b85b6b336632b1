"""The GoPro metadata track of an mp4, payload by payload."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Stream

from pipelines.imu.gpmf_klv import GpmfError, GpmfStream, read_streams
from pipelines.video.container import open_container
from schemas.errors import TakeError
from schemas.time import NS_PER_S

__all__ = ["SENSORS", "GpmfPayload", "gpmf_faults", "parse_payloads", "read_payloads"]

SENSORS: Final = ("ACCL", "GYRO")
_NS_PER_US: Final = 1000
# 35 years of a clock that counts from anywhere; beyond them sums leave int64.
_LATEST_NS: Final = 1 << 60
# Whole numbers are exact below it.
_MOST_SAMPLES: Final = 1 << 53


@dataclass(frozen=True, slots=True, kw_only=True)
class GpmfPayload:
    """One payload, about a second of samples."""

    pts_ns: int
    """Presentation time by the container."""
    streams: Mapping[str, GpmfStream]
    """By sensor; a sensor without samples in this payload is left out."""
    numbers: Mapping[str, int]
    """By sensor, the running number of its first sample: by ``TSMP``, else by count."""
    stamps_ns: Mapping[str, int]
    """By sensor, its first sample's time on the camera's clock (``STMP``), where it has one."""


@contextmanager
def gpmf_faults(path: Path) -> Iterator[None]:
    """Turn what reading a track may raise into the fault of its take.

    Raises:
        TakeError: ``gpmf_malformed`` or ``video_unreadable``.
    """
    try:
        yield
    except GpmfError as error:
        raise TakeError("gpmf_malformed", f"{error} [{path}]") from error
    except (FFmpegError, OSError) as error:
        raise TakeError(
            "video_unreadable", f"video must be readable, got {error} [{path}]"
        ) from error


def read_payloads(path: Path) -> Iterator[GpmfPayload]:
    """Yield a clip's payloads in order; of several devices, the first with a sensor counts.

    Raises:
        TakeError: ``imu_stream_missing`` if the file holds no metadata track.
        GpmfError: if a payload is malformed, or ``TSMP`` falls.
        FFmpegError: if the file is not readable.
    """
    with open_container(path) as container:
        track = _find_track(container, path=path)
        yield from parse_payloads(_packets(container, track))


def parse_payloads(packets: Iterable[tuple[int, bytes]]) -> Iterator[GpmfPayload]:
    """Yield a track's payloads, given as presentation times in ns and bytes.

    Raises:
        GpmfError: if a payload is malformed, or ``TSMP`` falls.
    """
    following = dict.fromkeys(SENSORS, 0)
    for pts_ns, data in packets:
        if abs(pts_ns) > _LATEST_NS:
            raise GpmfError(f"payload must be within 36 years of zero, got {pts_ns / NS_PER_S} s")
        streams: dict[str, GpmfStream] = {}
        numbers: dict[str, int] = {}
        stamps_ns: dict[str, int] = {}
        for stream in read_streams(data):
            for key in SENSORS:
                if key in streams or key not in stream.records:
                    continue
                number = _first_number(stream, key, following=following[key])
                count = stream.records[key].repeat
                following[key] = number + count
                if count:
                    streams[key], numbers[key] = stream, number
                    if "STMP" in stream.records:
                        stamps_ns[key] = _stamp_ns(stream, key)
        yield GpmfPayload(pts_ns=pts_ns, streams=streams, numbers=numbers, stamps_ns=stamps_ns)


def _first_number(stream: GpmfStream, key: str, *, following: int) -> int:
    if "TSMP" not in stream.records:
        return following
    total = _whole_number(stream, "TSMP", key=key, most=_MOST_SAMPLES)
    number = total - stream.records[key].repeat
    if number < following:
        raise GpmfError(
            f"TSMP of {key} must count every sample so far, got {total} after "
            f"{following} and {stream.records[key].repeat} more"
        )
    return number


def _stamp_ns(stream: GpmfStream, key: str) -> int:
    return _whole_number(stream, "STMP", key=key, most=_LATEST_NS // _NS_PER_US) * _NS_PER_US


def _whole_number(stream: GpmfStream, name: str, *, key: str, most: int) -> int:
    numbers = stream.records[name].numbers()
    if numbers.size != 1:
        raise GpmfError(f"{name} of {key} must be one number, got {numbers.size}")
    number = float(numbers[0, 0])
    # Written so that NaN is refused.
    if not 0 <= number <= most:
        raise GpmfError(f"{name} of {key} must lie in [0, {most}], got {number:g}")
    return int(number)


def _find_track(container: InputContainer, *, path: Path) -> Stream:
    """Return the data stream whose payloads are GPMF: PyAV does not give sample formats."""
    unseen = {stream.index: stream for stream in container.streams if stream.type == "data"}
    if unseen:
        for packet in container.demux(list(unseen.values())):
            stream = unseen.pop(packet.stream.index, None)
            if stream is not None and bytes(packet)[:4] == b"DEVC":
                container.seek(0)
                return stream
            if not unseen:
                break
    raise TakeError("imu_stream_missing", f"video must hold a GoPro metadata track [{path}]")


def _packets(container: InputContainer, track: Stream) -> Iterator[tuple[int, bytes]]:
    for stream in container.streams:
        # PyAV 17.1 and later can leave the picture unread; earlier versions read past it.
        if stream.index != track.index and hasattr(stream, "discard"):
            stream.discard = type(stream.discard).all
    for packet in container.demux(track):
        if packet.size and packet.pts is not None and packet.time_base is not None:
            yield round(packet.pts * packet.time_base * NS_PER_S), bytes(packet)
