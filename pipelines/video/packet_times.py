"""The presentation times a container's packets carry, without decoding a frame."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from schemas.errors import TakeError

__all__ = ["read_pts", "undecodable"]


def undecodable(path: Path, who: str, error: Exception) -> TakeError:
    """Return the fault of a file that ``who`` could not read, with the first line of ``error``."""
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return TakeError(
        "video_undecodable", f"video must be decodable by {who}, got {first_line} [{path.name}]"
    )


def read_pts(path: Path) -> tuple[list[int], npt.NDArray[np.int64]]:
    """Return each shown frame's time as the file has it, and in ns since the first, both (F,).

    Raises:
        TakeError: ``video_undecodable`` if the file is no video, holds fewer frames than it
            declares, or its frames carry no strictly increasing times.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise TakeError("video_undecodable", f"file must hold a video [{path.name}]")
            stream = container.streams.video[0]
            declared, time_base = stream.frames, stream.time_base
            packets = [(p.pts, p.is_discard) for p in container.demux(stream) if p.size]
    except av.FFmpegError as error:
        raise undecodable(path, "PyAV", error) from error
    shown = sorted(pts for pts, discard in packets if pts is not None and not discard)
    if len(packets) < declared:
        raise TakeError(
            "video_undecodable",
            f"video must hold the {declared} frames it declares, got {len(packets)} [{path.name}]",
        )
    if not shown or time_base is None or any(pts is None for pts, _ in packets):
        raise TakeError(
            "video_undecodable", f"every frame must carry a presentation time [{path.name}]"
        )
    scale, divisor = time_base.numerator * 1_000_000_000, time_base.denominator
    # Python integers: a long recording times a fine time base leaves int64.
    pts_ns = np.array(
        [(2 * (pts - shown[0]) * scale + divisor) // (2 * divisor) for pts in shown], dtype=np.int64
    )
    if len(pts_ns) > 1 and int(np.diff(pts_ns).min()) <= 0:
        at = int(np.argmax(np.diff(pts_ns) <= 0)) + 1
        raise TakeError(
            "video_undecodable",
            f"presentation times must increase strictly, frame {at} repeats one [{path.name}]",
        )
    return shown, pts_ns
