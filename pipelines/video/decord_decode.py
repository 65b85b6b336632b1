"""Decoding by decord.

Where frames are left out between two that are wanted, decord jumps to the key frame before the
next. In files whose frames are not stored in the order they are shown, or whose key frames do not
begin anew, it may then hand out a frame a few places off without a word; read one after another,
its frames are right in all files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import decord
import numpy as np
import numpy.typing as npt

from pipelines.video.scale import shrink

__all__ = ["DecordError", "check_decord", "read_decord"]

# decord hands out copies of good frames in place of bad ones up to this share of the file.
_FAULT_TOLERANCE: Final = 1e-9
# Times compared at once, so that memory does not grow with the recording.
_CHECK_FRAMES: Final = 4096
# Full frames held at once where they are made smaller: at 1408 pixels 24 MB.
_FULL_FRAMES: Final = 4
# decord's times are float32 seconds.
_FLOAT32_STEP: Final = float(np.finfo(np.float32).eps)

# What goes wrong is raised; the library's own lines on stderr would only repeat it.
decord.logging.set_level(decord.logging.QUIET)


class DecordError(Exception):
    """decord cannot read a file, or counts or times its frames otherwise than its packets do."""


def check_decord(path: Path, *, pts_ns: npt.NDArray[np.int64]) -> None:
    """Compare decord's count and times of a file's frames with those of its packets.

    Args:
        path: file.
        pts_ns: (F,) int64, ns since the first frame.

    Raises:
        DecordError: if decord cannot open the file or they differ.
    """
    try:
        reader = _new_reader(path, threads=1)
        if len(reader) != len(pts_ns):
            raise DecordError(f"{len(reader)} frames where the file holds {len(pts_ns)}")
        first_s = float(reader.get_frame_timestamp([0])[0, 0])
        for start in range(0, len(pts_ns), _CHECK_FRAMES):
            frames = range(start, min(start + _CHECK_FRAMES, len(pts_ns)))
            seconds = reader.get_frame_timestamp(frames)[:, 0].astype(np.float64)
            error = np.abs(seconds - first_s - pts_ns[frames.start : frames.stop] * 1e-9)
            if float((error - 1e-4 - 2 * _FLOAT32_STEP * seconds).max()) > 0:
                at = start + int(error.argmax())
                raise DecordError(f"frame {at} at another time than in the file")
    except decord.DECORDError as error:
        raise DecordError(str(error)) from error


def read_decord(
    path: Path,
    indices: npt.NDArray[np.int64],
    *,
    chunk: int,
    size: tuple[int, int] | None,
    threads: int,
    jump: bool,
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the frames at ``indices`` as RGB (n, h, w, 3), ``chunk`` at a time.

    Args:
        path: file.
        indices: (N,) int64, strictly increasing places in presentation order.
        chunk: frames a chunk.
        size: height and width to scale to, upright; None for the file's own.
        threads: of the decoder.
        jump: whether decord may jump; else all frames up to the last wanted are read and converted.

    Raises:
        DecordError: where decord gives up.
    """
    try:
        reader = _new_reader(path, threads=threads)
        at = 0
        for first in range(0, len(indices), chunk):
            wanted = indices[first : first + chunk].tolist()
            kept: list[npt.NDArray[np.uint8]] = []
            if jump:
                step = len(wanted) if size is None else _FULL_FRAMES
                for start in range(0, len(wanted), step):
                    some = reader.get_batch(wanted[start : start + step]).asnumpy()
                    kept.extend(_sized(frame, size) for frame in some)
            else:
                for index in wanted:
                    for _ in range(index - at):
                        reader.next()
                    kept.append(_sized(reader.next().asnumpy(), size))
                    at = index + 1
            yield np.stack(kept)
    except (decord.DECORDError, decord.DECORDLimitReachedError, StopIteration) as error:
        raise DecordError(str(error) or "too few frames") from error


def _sized(frame: npt.NDArray[np.uint8], size: tuple[int, int] | None) -> npt.NDArray[np.uint8]:
    return frame if size is None else shrink(frame, height=size[0], width=size[1])


def _new_reader(path: Path, *, threads: int) -> decord.VideoReader:
    return decord.VideoReader(
        str(path), ctx=decord.cpu(0), num_threads=threads, fault_tol=_FAULT_TOLERANCE
    )
