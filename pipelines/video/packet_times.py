"""The presentation times a container's packets carry, without decoding a frame."""

from array import array
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.video.picture_stream import open_picture, read_frame_index, read_packets
from schemas.errors import TakeError
from schemas.time import NS_PER_S

__all__ = ["read_pts", "undecodable"]


def undecodable(path: Path, who: str, error: Exception) -> TakeError:
    """Return the fault of a file that ``who`` could not read, with the first line of ``error``."""
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return TakeError(
        "video_undecodable", f"video must be decodable by {who}, got {first_line} [{path.name}]"
    )


def read_pts(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return each shown frame's time as the file has it, and in ns since the first, both (F,).

    Frames that an edit list leaves out are not shown. Eight bytes a frame are held.

    Raises:
        TakeError: ``video_unreadable`` if the file is no video or holds fewer frames than it
            declares; ``video_stream_missing`` if it holds no picture; ``video_undecodable`` if
            its codec is unknown or its frames carry no strictly increasing times.
    """
    times, stored, untimed = array("q"), 0, 0
    with open_picture(path) as (container, stream):
        index = read_frame_index(container, stream, path=path)
        declared = index.stored if index is not None else stream.frames
        time_base = stream.time_base
        for packet in read_packets(container, stream, path=path):
            stored += 1
            if packet.pts is None:
                untimed += 1
            elif not packet.is_discard:
                times.append(packet.pts)
    if stored < declared:
        raise TakeError(
            "video_unreadable",
            f"video must hold the {declared} frames it declares, got {stored} [{path.name}]",
        )
    if not len(times) or time_base is None or untimed:
        raise TakeError(
            "video_undecodable", f"every frame must carry a presentation time [{path.name}]"
        )
    pts = np.sort(np.frombuffer(times, dtype=np.int64))
    pts_ns = _to_ns(pts - pts[0], time_base=time_base)
    steps = np.diff(pts_ns)
    if len(steps) and int(steps.min()) <= 0:
        at = int(np.argmax(steps <= 0)) + 1
        raise TakeError(
            "video_undecodable",
            f"presentation times must increase strictly, frame {at} repeats one [{path.name}]",
        )
    return pts, pts_ns


def _to_ns(ticks: npt.NDArray[np.int64], *, time_base: Fraction) -> npt.NDArray[np.int64]:
    """Return ticks as ns, rounded half up; exact."""
    # Whole seconds apart: a long recording times a fine time base would leave int64.
    divisor = time_base.denominator
    whole, rest = np.divmod(ticks * time_base.numerator, divisor)
    ns: npt.NDArray[np.int64] = whole * NS_PER_S + (2 * rest * NS_PER_S + divisor) // (2 * divisor)
    return ns
