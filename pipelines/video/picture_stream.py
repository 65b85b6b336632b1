"""The picture of an opened container: which stream it is, and what the container's index says.

An index is the container's own table of its frames, read with the header: mp4 files have a whole
one, other kinds of file part of one or none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from pipelines.video.container import DECODER_OPTIONS, open_container
from schemas.errors import TakeError
from schemas.limits import LARGEST_PICTURE_PIXELS

__all__ = ["FrameIndex", "open_picture", "read_frame_index", "read_packets", "varies"]

# Intervals of a steady picture differ by rounding to the container's ticks alone.
_STEADY_TICKS: Final = 2
_STEADY_SHARE: Final = 0.05


@contextmanager
def open_picture(
    path: Path, *, accelerator: HWAccel | None = None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its first video stream that is no cover picture.

    Args:
        path: file.
        accelerator: of a decoder that is no processor.

    Raises:
        TakeError: ``video_unreadable`` if the file is absent, empty or no video;
            ``video_stream_missing`` if it holds no picture, such as sound alone;
            ``video_undecodable`` if the picture's codec is unknown; ``video_too_large`` if the
            header claims a picture or a number of frames beyond every camera's.
    """
    try:
        container = open_container(path, accelerator=accelerator)
    except (FFmpegError, OSError) as error:
        raise _unreadable(path, error) from error
    with container:
        pictures = [
            stream
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        if not pictures:
            raise TakeError("video_stream_missing", f"video must hold a video stream [{path}]")
        # The stubs promise one; a codec that libav does not know has none.
        if getattr(pictures[0], "codec_context", None) is None:
            raise TakeError("video_undecodable", f"video must be of a known codec [{path}]")
        width, height = pictures[0].width, pictures[0].height
        if width * height > LARGEST_PICTURE_PIXELS:
            raise TakeError(
                "video_too_large",
                f"video must have at most {LARGEST_PICTURE_PIXELS} pixels a frame, got {width} x "
                f"{height}: encode a smaller copy [{path}]",
            )
        pictures[0].codec_context.options = DECODER_OPTIONS
        yield container, pictures[0]


def read_packets(
    container: InputContainer, stream: VideoStream, *, path: Path
) -> Iterator["Packet[VideoStream]"]:
    """Yield the stream's packets in file order, without the empty one that ends them.

    Raises:
        TakeError: ``video_unreadable`` if the file cannot be read on.
    """
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except (FFmpegError, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: FFmpegError | OSError) -> TakeError:
    said = error.strerror or str(error)
    return TakeError("video_unreadable", f"video must be readable, got {said} [{path}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameIndex:
    """What an mp4's index tells of its frames.

    Attributes:
        stored: frames in the file that its edit list leaves.
        shown: those of them that are to be shown.
        shortest: interval of decoding times, ticks of the stream; 0 with fewer than two frames.
        longest: the same.
    """

    stored: int
    shown: int
    shortest: int
    longest: int


def read_frame_index(
    container: InputContainer, stream: VideoStream, *, path: Path
) -> FrameIndex | None:
    """Return what the container's index tells; None where it does not list every frame.

    Only mp4 and its kin list every frame: elsewhere the index serves seeking alone.

    Raises:
        TakeError: ``video_unreadable`` if a frame lies beyond the end of the file.
    """
    # PyAV before 16 does not give it.
    entries: Any = getattr(stream, "index_entries", ())
    if "mp4" not in container.format.name or not stream.frames or not len(entries):
        return None
    shown = end = 0
    shortest = longest = entries[1].timestamp - entries[0].timestamp if len(entries) > 1 else 0
    last_ticks: int | None = None
    for entry in entries:
        if last_ticks is not None:
            shortest = min(shortest, entry.timestamp - last_ticks)
            longest = max(longest, entry.timestamp - last_ticks)
        last_ticks = entry.timestamp
        shown += not entry.is_discard
        end = max(end, entry.pos + entry.size)
    size = path.stat().st_size
    if end > size:
        raise TakeError(
            "video_unreadable",
            f"video must hold the {len(entries)} frames it lists, got {size} of their {end} bytes "
            f"[{path}]",
        )
    return FrameIndex(stored=len(entries), shown=shown, shortest=shortest, longest=longest)


def varies(shortest: int, longest: int) -> bool:
    """Return whether intervals, in ticks, differ by more than two ticks and a twentieth."""
    return longest - shortest > max(_STEADY_TICKS, _STEADY_SHARE * shortest)
