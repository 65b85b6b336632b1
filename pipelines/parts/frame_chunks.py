"""Decoded frames on their way into the frames part, and what is measured on them."""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.profile.work import WorkMeter
from pipelines.video.chapters import ChapteredReader
from pipelines.video.decode import VideoReader
from pipelines.video.motion import GREY_HEIGHT, GREY_WIDTH, image_shifts, small_grey
from pipelines.video.thumbnail import encode_thumbnail
from schemas.time import NS_PER_S

__all__ = ["FrameChunk", "decode_chunks", "make_thumbnails", "measure_motion", "no_motion"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameChunk:
    """Frames decoded together, and the rows of the part that they fill.

    Attributes:
        frames: (n, H, W, 3) uint8 RGB.
        place: (r,) int64, which of the frames each row has; neighbouring rows may share one.
        t_ns: (r,) int64, grid times of the rows.
        index: (r,) int64, places of the rows' frames in the video.
        follows: (r,) bool, whether the row before, maybe a chunk earlier, is one step earlier.
        starts_second: (r,) bool, whether no earlier row lies in the same second.
        before: (H, W, 3) uint8, the frame of the row before the first; None at the start.
        decoder: who decoded.
    """

    frames: npt.NDArray[np.uint8]
    place: npt.NDArray[np.int64]
    t_ns: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]
    follows: npt.NDArray[np.bool_]
    starts_second: npt.NDArray[np.bool_]
    before: npt.NDArray[np.uint8] | None
    decoder: str


def decode_chunks(
    video: VideoReader | ChapteredReader,
    *,
    t_ns: npt.NDArray[np.int64],
    index: npt.NDArray[np.int64],
    step_ns: int,
    chunk: int,
    short_side: int,
    threads: int,
    meter: WorkMeter,
) -> Generator[FrameChunk, None, None]:
    """Decode the frames of a part's rows, ``chunk`` at a time.

    Args:
        video: opened.
        t_ns: (R,) int64, increasing grid times.
        index: (R,) int64, places of the rows' frames in the video, not decreasing: where frames
            are rarer than grid times neighbours share one, which is decoded once.
        step_ns: of the grid.
        chunk: frames decoded together.
        short_side: pixels; larger pictures are scaled to it as they are decoded.
        threads: that decode.
        meter: told of ``frames.decode``.

    Raises:
        TakeError: as ``VideoReader.read``.
    """
    wanted, frame_of = np.unique(index, return_inverse=True)
    follows = np.diff(t_ns, prepend=t_ns[:1]) == step_ns
    seconds = t_ns // NS_PER_S
    starts_second = np.diff(seconds, prepend=seconds[:1] - 1) != 0
    pictures = video.read(wanted, chunk=chunk, short_side=short_side, threads=threads)
    first_frame, row = 0, 0
    before = None
    while True:
        with meter.timed("frames.decode"):
            frames = next(pictures, None)
        if frames is None:
            return
        meter.add("frames.decode", items=len(frames))
        first_frame, last_frame = first_frame + len(frames), first_frame
        rows = slice(row, int(np.searchsorted(frame_of, first_frame)))
        yield FrameChunk(
            frames=frames,
            place=frame_of[rows] - last_frame,
            t_ns=t_ns[rows],
            index=index[rows],
            follows=follows[rows],
            starts_second=starts_second[rows],
            before=before,
            decoder=video.decoder,
        )
        # A copy: the whole chunk would stay in memory with it.
        row, before = rows.stop, frames[-1].copy()


def measure_motion(chunk: FrameChunk) -> list[pa.Array]:
    """Return dx, dy and peak of each row, float32.

    They are null where no row is one step earlier, and in pictures too small to tell it.
    """
    if not (chunk.follows.any() and _is_large_enough(chunk.frames[0])):
        return no_motion(chunk)
    follows = chunk.follows.copy()
    greys = small_grey(chunk.frames)[chunk.place]
    if chunk.before is not None and _is_large_enough(chunk.before):
        before = small_grey(chunk.before[None])
    else:
        # Stands in for the frame there is none of, so that the shifts keep their places.
        before, follows[0] = greys[:1], False
    shifts = image_shifts(np.concatenate([before, greys]))
    return [pa.array(shifts[:, k], mask=~follows) for k in range(3)]


def no_motion(chunk: FrameChunk) -> list[pa.Array]:
    """Return dx, dy and peak of rows whose motion is not asked for."""
    return [pa.nulls(len(chunk.t_ns), pa.float32())] * 3


def make_thumbnails(chunk: FrameChunk) -> pa.Array:
    """Return a JPEG in the first row of each second, null in the others."""
    jpegs = [
        encode_thumbnail(chunk.frames[place]) if starts else None
        for place, starts in zip(chunk.place, chunk.starts_second, strict=True)
    ]
    return pa.array(jpegs, pa.binary())


def _is_large_enough(frame: npt.NDArray[np.uint8]) -> bool:
    height, width = int(frame.shape[0]), int(frame.shape[1])
    return height >= GREY_HEIGHT and width >= GREY_WIDTH
