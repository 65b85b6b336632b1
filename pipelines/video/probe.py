"""What a video file's header says of it, without decoding a frame."""

from array import array
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from pipelines.video.picture_stream import (
    FrameIndex,
    open_picture,
    read_frame_index,
    read_packets,
    varies,
)
from schemas.errors import TakeError
from schemas.limits import LONGEST_VIDEO_S, MOST_PICTURE_RATE
from schemas.time import NS_PER_S

__all__ = ["VideoProbe", "probe_video"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoProbe:
    """A video's size and timing by its container header.

    Attributes:
        num_frames_from_header: frames shown; packets are counted where the header does not list
            them.
        rate: frames per second, exact; the average where it varies.
        first_pts_ns: presentation time of the first frame, by the file's own clock.
        duration_ns: length of the stream; frames over rate where the header does not say.
        width: pixels.
        height: pixels.
        codec: such as ``h264``.
        rate_varies: whether intervals between frames differ by more than a twentieth, by the
            header's index; by the packets where it does not list every frame.
    """

    num_frames_from_header: int
    rate: Fraction
    first_pts_ns: int
    duration_ns: int
    width: int
    height: int
    codec: str
    rate_varies: bool = False


def probe_video(path: Path) -> VideoProbe:
    """Read a video file's header.

    Raises:
        TakeError: ``video_unreadable`` if the file is no video, is cut off, or says no rate or
            holds no frame; ``video_stream_missing`` if it holds no picture, such as sound alone;
            ``video_undecodable`` if the picture's codec is unknown; ``video_too_large`` if size,
            rate, length or number of frames are beyond every camera's.
    """
    with open_picture(path) as (container, stream):
        return _probe(container, stream, path=path)


def _probe(container: InputContainer, stream: VideoStream, *, path: Path) -> VideoProbe:
    rate = stream.average_rate or stream.guessed_rate
    if not rate or stream.time_base is None:
        raise TakeError("video_unreadable", f"video must say its frame rate [{path}]")
    if rate > MOST_PICTURE_RATE:
        raise TakeError(
            "video_too_large",
            f"video must have at most {MOST_PICTURE_RATE} frames a second, got {float(rate):.6g} "
            f"[{path}]",
        )
    index = read_frame_index(container, stream, path=path) or _count_packets(
        container, stream, path=path
    )
    if not index.shown:
        raise TakeError("video_unreadable", f"video must hold a frame, got none [{path}]")
    tick = stream.time_base * NS_PER_S
    length = stream.duration * tick if stream.duration else index.shown * NS_PER_S / rate
    if not 0 < length <= LONGEST_VIDEO_S * NS_PER_S:
        raise TakeError(
            "video_too_large",
            f"video must last up to {LONGEST_VIDEO_S} s, got {float(length / NS_PER_S):.6g}: split "
            f"the recording [{path}]",
        )
    return VideoProbe(
        num_frames_from_header=index.shown,
        rate=Fraction(rate),
        first_pts_ns=round((stream.start_time or 0) * tick),
        duration_ns=round(length),
        width=stream.width,
        height=stream.height,
        codec=stream.codec_context.codec.canonical_name,
        rate_varies=varies(index.shortest, index.longest),
    )


def _count_packets(container: InputContainer, stream: VideoStream, *, path: Path) -> FrameIndex:
    """Return the same of a file without a whole index, by reading through it."""
    times, stored, shown = array("q"), 0, 0
    for packet in read_packets(container, stream, path=path):
        stored += 1
        shown += not packet.is_discard
        if packet.pts is not None:
            times.append(packet.pts)
    intervals = np.diff(np.sort(np.frombuffer(times, dtype=np.int64)))
    shortest, longest = (int(intervals.min()), int(intervals.max())) if len(intervals) else (0, 0)
    return FrameIndex(stored=stored, shown=shown, shortest=shortest, longest=longest)
