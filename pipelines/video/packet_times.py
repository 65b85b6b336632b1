"""What a container's packets tell of its frames, without decoding one: times, order, key frames."""

from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.video.key_frames import KeyFrameTest
from pipelines.video.picture_stream import open_picture, read_frame_index, read_packets
from schemas.errors import TakeError
from schemas.time import NS_PER_S

__all__ = ["PacketTimes", "read_packet_times", "undecodable"]


def undecodable(path: Path, who: str, error: Exception) -> TakeError:
    """Return the fault of a file that ``who`` could not read, with the first line of ``error``."""
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return TakeError(
        "video_undecodable", f"video must be decodable by {who}, got {first_line} [{path.name}]"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketTimes:
    """The frames of a file as its packets tell of them. Sixteen bytes a frame.

    A packet's place is its number in the order in which packets stand in the file and are decoded.

    Attributes:
        pts: (F,) int64, strictly increasing times of the shown frames, ticks of the stream.
        pts_ns: (F,) int64, the same in ns since the first.
        places: (F,) int64, each frame's packet.
        packets: all packets, of frames that an edit list leaves out too.
        key_places: (K,) int64, increasing: packets from which decoding may begin, and gives every
            frame shown from there on as decoding from the first packet does.
        key_pts: (K,) int64, their times.
        key_seek: (K,) int64, the times to ask the container for.
        in_order: whether all frames stand in the file as they are shown, and decoding may begin at
            every packet that the container calls a key frame.
    """

    pts: npt.NDArray[np.int64] = field(repr=False)
    pts_ns: npt.NDArray[np.int64] = field(repr=False)
    places: npt.NDArray[np.int64] = field(repr=False)
    packets: int
    key_places: npt.NDArray[np.int64] = field(repr=False)
    key_pts: npt.NDArray[np.int64] = field(repr=False)
    key_seek: npt.NDArray[np.int64] = field(repr=False)
    in_order: bool

    def __len__(self) -> int:
        return len(self.pts)


def read_packet_times(path: Path) -> PacketTimes:
    """Read through a file's packets.

    Frames that an edit list leaves out are not shown.

    Raises:
        TakeError: ``video_unreadable`` if the file is no video or holds fewer frames than it
            declares; ``video_stream_missing`` if it holds no picture; ``video_undecodable`` if
            its codec is unknown or its frames carry no strictly increasing times.
    """
    times, places, keys = array("q"), array("q"), array("q")
    stored, untimed, called_key = 0, 0, 0
    with open_picture(path) as (container, stream):
        index = read_frame_index(container, stream, path=path)
        declared = index.stored if index is not None else stream.frames
        time_base = stream.time_base
        may_begin = KeyFrameTest(stream)
        for packet in read_packets(container, stream, path=path):
            pts = packet.pts
            if pts is None:
                untimed += 1
            elif not packet.is_discard:
                times.append(pts)
                places.append(stored)
                if packet.is_keyframe:
                    called_key += 1
                    if may_begin(packet):
                        dts = packet.dts
                        keys.extend((stored, pts, pts if dts is None else dts))
            stored += 1
    if stored < declared:
        raise TakeError(
            "video_unreadable",
            f"video must hold the {declared} frames it declares, got {stored} [{path.name}]",
        )
    if not len(times) or time_base is None or untimed:
        raise TakeError(
            "video_undecodable", f"every frame must carry a presentation time [{path.name}]"
        )
    in_file_order = np.frombuffer(times, dtype=np.int64)
    order = np.argsort(in_file_order, kind="stable")
    pts_sorted = in_file_order[order]
    pts_ns = _to_ns(pts_sorted - pts_sorted[0], time_base=time_base)
    steps = np.diff(pts_ns)
    if len(steps) and int(steps.min()) <= 0:
        at = int(np.argmax(steps <= 0)) + 1
        raise TakeError(
            "video_undecodable",
            f"presentation times must increase strictly, frame {at} repeats one [{path.name}]",
        )
    key_columns = np.array(keys, dtype=np.int64).reshape(-1, 3)
    return PacketTimes(
        pts=pts_sorted,
        pts_ns=pts_ns,
        places=np.frombuffer(places, dtype=np.int64)[order],
        packets=stored,
        key_places=key_columns[:, 0],
        key_pts=key_columns[:, 1],
        key_seek=key_columns[:, 2],
        in_order=bool((np.diff(order) > 0).all()) and len(key_columns) == called_key,
    )


def _to_ns(ticks: npt.NDArray[np.int64], *, time_base: Fraction) -> npt.NDArray[np.int64]:
    """Return ticks as ns, rounded half up; exact."""
    # Whole seconds apart: a long recording times a fine time base would leave int64.
    divisor = time_base.denominator
    whole, rest = np.divmod(ticks * time_base.numerator, divisor)
    ns: npt.NDArray[np.int64] = whole * NS_PER_S + (2 * rest * NS_PER_S + divisor) // (2 * divisor)
    return ns
