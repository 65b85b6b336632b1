"""Which packets have to be decoded for the frames that are wanted. Pure arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.video.packet_times import PacketTimes

__all__ = ["DecodeRun", "plan_runs"]

# A jump empties the decoder, which then fills again: fewer packets in between are decoded.
_WORTH_A_JUMP: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRun:
    """A stretch of packets that are decoded one after another.

    Attributes:
        start: first wanted frame, as a place among the wanted.
        stop: past the last.
        first_packet: where decoding begins.
        last_packet: the last one needed.
        key: row of the key frame among the file's, -1 where decoding begins with the file.
    """

    start: int
    stop: int
    first_packet: int
    last_packet: int
    key: int


def plan_runs(
    indices: npt.NDArray[np.int64], *, times: PacketTimes, jump: bool
) -> Iterator[DecodeRun]:
    """Yield what to decode for the frames at ``indices``, in order.

    A new run begins where the last key frame before a wanted frame lies further ahead in the file
    than decoding has come, so that packets in between need not be decoded.

    Args:
        indices: (N,) int64, strictly increasing places in presentation order.
        times: of the file.
        jump: whether runs may begin at key frames; else there is one, from the file's start.
    """
    if not len(indices):
        return
    places, pts = times.places[indices], times.pts[indices]
    needed = np.maximum.accumulate(places)
    key, first = np.full(len(indices), -1), np.zeros(len(indices), dtype=np.int64)
    if jump and len(times.key_places):
        key = np.searchsorted(times.key_places, places, side="right") - 1
        # Shown before the key frame it follows in the file, so it leans on the one before.
        key -= (key >= 0) & (times.key_pts[key] > pts)
        first = np.where(key >= 0, times.key_places[key], 0)
    reached = np.concatenate([[-1], needed[:-1]])
    jumps = first - reached > _WORTH_A_JUMP
    starts = np.union1d([0], np.flatnonzero(jumps))
    stops = np.append(starts[1:], len(indices))
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        yield DecodeRun(
            start=start,
            stop=stop,
            first_packet=int(first[start]) if jumps[start] else 0,
            last_packet=int(places[start:stop].max()),
            key=int(key[start]) if jumps[start] else -1,
        )
