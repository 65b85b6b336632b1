"""Frames of a video by their place in it, each with the presentation time really recorded.

The times come from the container's packets. decord decodes; PyAV takes over where decord cannot
open or decode a file (AV1, or a file whose frames decord counts otherwise), and from the start in
files of more than half an hour, over which decord's memory grows. The reader says which one did.
Both give the same pixels, upright. Frames are never seeked to: one sequential pass.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import av
import decord
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from pipelines.video.packet_times import read_pts, undecodable
from pipelines.video.picture_stream import open_picture
from schemas.errors import TakeError

__all__ = ["VideoReader", "open_video"]

# decord hands out copies of good frames in place of bad ones up to this share of the file.
_FAULT_TOLERANCE: Final = 1e-9
_DECORD_THREADS: Final = 1
_PYAV_THREADS: Final = 2
# Times compared at once, so that memory does not grow with the recording.
_CHECK_FRAMES: Final = 4096
# Half an hour at 30 frames/s. Over four hours decord came to hold 200 MB more, PyAV nothing.
_DECORD_FRAMES: Final = 54_000
# decord's times are float32 seconds.
_FLOAT32_STEP: Final = float(np.finfo(np.float32).eps)

Decoder = Literal["decord", "pyav"]

# What goes wrong is raised; the libraries' own lines on stderr would only repeat it.
decord.logging.set_level(decord.logging.QUIET)


@dataclass(slots=True, kw_only=True)
class VideoReader:
    """An opened video.

    Attributes:
        path: file.
        decoder: who decodes; ``auto`` turns from decord to pyav where decord gives up.
        pts_ns: (F,) int64, strictly increasing presentation times on the take clock, 0 = first
            frame, read from the container's packets.
        may_fall_back: whether PyAV may take over in the middle.
    """

    path: Path
    decoder: Decoder
    pts_ns: npt.NDArray[np.int64]
    may_fall_back: bool
    _pts: npt.NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.pts_ns)

    def read(
        self, indices: npt.NDArray[np.int64], *, chunk: int = 32
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the frames at ``indices`` as RGB (n, H, W, 3), ``chunk`` at a time.

        Args:
            indices: (N,) int64, strictly increasing places in presentation order, 0 = first.
            chunk: frames held in memory at once.

        Raises:
            ValueError: if the indices do not increase or lie outside the video.
            TakeError: ``video_undecodable`` if any wanted frame cannot be decoded.
        """
        if len(indices) and (
            int(indices[0]) < 0
            or int(indices[-1]) >= len(self)
            or (len(indices) > 1 and int(np.diff(indices).min()) <= 0)
        ):
            raise ValueError(f"indices must increase strictly within [0, {len(self)})")
        done = 0
        if self.decoder == "decord":
            try:
                for frames in _read_decord(self.path, indices, chunk=chunk):
                    yield frames
                    done += len(frames)
            except (decord.DECORDError, decord.DECORDLimitReachedError) as error:
                if not self.may_fall_back:
                    raise undecodable(self.path, "decord", error) from error
                self.decoder = "pyav"
            else:
                return
        yield from _read_pyav(self.path, indices[done:], pts=self._pts, chunk=chunk)


def open_video(path: Path, *, decoder: Literal["auto", "decord", "pyav"]) -> VideoReader:
    """Open a video and read its frames' times.

    Args:
        path: file.
        decoder: ``auto`` takes decord, and PyAV where decord cannot or the file is long.

    Raises:
        TakeError: as ``read_pts``, or ``video_undecodable`` if the decoder asked for cannot read
            the file.
    """
    pts, pts_ns = read_pts(path)
    chosen: Decoder = "pyav"
    if decoder == "decord" or (decoder == "auto" and len(pts_ns) <= _DECORD_FRAMES):
        try:
            _check_decord(path, pts_ns)
            chosen = "decord"
        except (decord.DECORDError, _DisagreementError) as error:
            if decoder == "decord":
                raise undecodable(path, "decord", error) from error
    return VideoReader(
        path=path, decoder=chosen, pts_ns=pts_ns, may_fall_back=decoder == "auto", _pts=pts
    )


class _DisagreementError(Exception):
    """decord counts or times the frames otherwise than the container's packets."""


def _check_decord(path: Path, pts_ns: npt.NDArray[np.int64]) -> None:
    reader = _new_decord(path)
    if len(reader) != len(pts_ns):
        raise _DisagreementError(f"{len(reader)} frames where the file holds {len(pts_ns)}")
    first_s = float(reader.get_frame_timestamp([0])[0, 0])
    for start in range(0, len(pts_ns), _CHECK_FRAMES):
        frames = range(start, min(start + _CHECK_FRAMES, len(pts_ns)))
        seconds = reader.get_frame_timestamp(frames)[:, 0].astype(np.float64)
        error = np.abs(seconds - first_s - pts_ns[frames.start : frames.stop] * 1e-9)
        if float((error - 1e-4 - 2 * _FLOAT32_STEP * seconds).max()) > 0:
            at = start + int(error.argmax())
            raise _DisagreementError(f"frame {at} at another time than in the file")


def _new_decord(path: Path) -> decord.VideoReader:
    return decord.VideoReader(
        str(path), ctx=decord.cpu(0), num_threads=_DECORD_THREADS, fault_tol=_FAULT_TOLERANCE
    )


def _read_decord(
    path: Path, indices: npt.NDArray[np.int64], *, chunk: int
) -> Iterator[npt.NDArray[np.uint8]]:
    reader = _new_decord(path)
    for first in range(0, len(indices), chunk):
        frames: npt.NDArray[np.uint8] = reader.get_batch(
            indices[first : first + chunk].tolist()
        ).asnumpy()
        yield frames


def _read_pyav(
    path: Path, indices: npt.NDArray[np.int64], *, pts: npt.NDArray[np.int64], chunk: int
) -> Iterator[npt.NDArray[np.uint8]]:
    wanted = pts[indices]
    at = 0
    held: list[npt.NDArray[np.uint8]] = []
    if not len(wanted):
        return
    try:
        with open_picture(path) as (container, stream):
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = _PYAV_THREADS
            for frame in container.decode(stream):
                if frame.pts is None or frame.pts < wanted[at]:
                    continue
                if frame.pts > wanted[at] or frame.is_corrupt:
                    break
                held.append(_to_rgb(frame))
                if held[0].shape != held[-1].shape:
                    raise TakeError("video_undecodable", f"frames must keep one size [{path.name}]")
                at += 1
                if len(held) == chunk or at == len(wanted):
                    yield np.stack(held)
                    held = []
                if at == len(wanted):
                    return
    except av.FFmpegError as error:
        raise undecodable(path, "PyAV", error) from error
    raise TakeError(
        "video_undecodable",
        f"every wanted frame must decode whole, frame {indices[at]} does not [{path.name}]",
    )


def _to_rgb(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    # Upright, as decord gives it and a player shows it.
    upright = np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)
    rgb: npt.NDArray[np.uint8] = np.ascontiguousarray(upright, dtype=np.uint8)
    return rgb
