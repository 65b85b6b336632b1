"""What a video file's header says of it, without decoding a frame."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from schemas.errors import TakeError
from schemas.time import NS_PER_S

__all__ = ["VideoProbe", "probe_video"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoProbe:
    """A video's size and timing by its container header.

    Attributes:
        num_frames_from_header: frames; packets are counted where the header does not say.
        rate: frames per second, exact.
        first_pts_ns: presentation time of the first frame, by the file's own clock.
        duration_ns: length of the stream; frames over rate where the header does not say.
        width: pixels.
        height: pixels.
        codec: such as ``h264``.
    """

    num_frames_from_header: int
    rate: Fraction
    first_pts_ns: int
    duration_ns: int
    width: int
    height: int
    codec: str


def probe_video(path: Path) -> VideoProbe:
    """Read a video file's header.

    Raises:
        TakeError: ``video_unreadable`` if the file is no video, or says no rate or holds no frame.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise TakeError("video_unreadable", f"video must hold a video stream [{path}]")
            return _probe(container, container.streams.video[0], path=path)
    except (FFmpegError, OSError) as error:
        raise TakeError(
            "video_unreadable", f"video must be readable, got {error} [{path}]"
        ) from error


def _probe(container: InputContainer, stream: VideoStream, *, path: Path) -> VideoProbe:
    rate = stream.average_rate or stream.guessed_rate
    if not rate or stream.time_base is None:
        raise TakeError("video_unreadable", f"video must say its frame rate [{path}]")
    frames = stream.frames or sum(1 for packet in container.demux(stream) if packet.size)
    if not frames:
        raise TakeError("video_unreadable", f"video must hold a frame, got none [{path}]")
    tick = stream.time_base * NS_PER_S
    length = stream.duration * tick if stream.duration else frames * NS_PER_S / rate
    return VideoProbe(
        num_frames_from_header=frames,
        rate=Fraction(rate),
        first_pts_ns=round((stream.start_time or 0) * tick),
        duration_ns=round(length),
        width=stream.width,
        height=stream.height,
        codec=stream.codec_context.name,
    )
