"""Frames of a video by their place in it, each with the presentation time really recorded.

The times come from the container's packets. PyAV decodes: it leaves out frames that nobody wants,
jumps over stretches without a wanted one, and its memory does not grow with a file's length. decord
decodes where it is asked for. A GPU decodes, through PyAV, where there is one and it is allowed.
The reader says which one did.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipelines.video.decord_decode import DecordError, check_decord, read_decord
from pipelines.video.hardware import HardwareError, gpu_may_decode
from pipelines.video.packet_times import PacketTimes, read_packet_times, undecodable
from pipelines.video.pyav_decode import read_hardware, read_pyav, read_size
from pipelines.video.scale import scaled_size

__all__ = ["Decoder", "VideoReader", "open_video"]

Decoder = Literal["decord", "pyav", "pyav-cuda"]


@dataclass(slots=True, kw_only=True)
class VideoReader:
    """An opened video.

    Attributes:
        path: file.
        decoder: who decodes; who decoded the frames given last.
        pts_ns: (F,) int64, strictly increasing presentation times on the take clock, 0 = first
            frame, read from the container's packets.
    """

    path: Path
    decoder: Decoder
    pts_ns: npt.NDArray[np.int64]
    _times: PacketTimes = field(repr=False)

    def __len__(self) -> int:
        return len(self.pts_ns)

    def read(
        self,
        indices: npt.NDArray[np.int64],
        *,
        chunk: int = 32,
        short_side: int | None = None,
        threads: int = 1,
    ) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the frames at ``indices`` as upright RGB (n, h, w, 3), ``chunk`` at a time.

        Pixels depend on the file, the decoder and ``short_side`` alone, not on ``threads`` or on
        which other frames are read.

        Args:
            indices: (N,) int64, strictly increasing places in presentation order, 0 = first.
            chunk: frames held in memory at once.
            short_side: larger pictures are scaled down, bicubic, until their shorter side has this
                many pixels; None gives full size.
            threads: cores that decoding may keep busy; with one, PyAV does all work in the
                caller's thread.

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
        if not len(indices):
            return
        done = 0
        if self.decoder == "pyav-cuda":
            try:
                for frames in read_hardware(
                    self.path,
                    indices,
                    times=self._times,
                    chunk=chunk,
                    short_side=short_side,
                    threads=threads,
                ):
                    yield frames
                    done += len(frames)
            except HardwareError:
                self.decoder = "pyav"
            else:
                return
        if self.decoder == "decord":
            full = read_size(self.path) if short_side is not None else None
            try:
                yield from read_decord(
                    self.path,
                    indices,
                    chunk=chunk,
                    size=full and scaled_size(*full, short_side=short_side),
                    threads=threads,
                    jump=self._times.in_order,
                )
            except DecordError as error:
                raise undecodable(self.path, "decord", error) from error
            return
        yield from read_pyav(
            self.path,
            indices[done:],
            times=self._times,
            chunk=chunk,
            short_side=short_side,
            threads=threads,
        )


def open_video(
    path: Path,
    *,
    decoder: Literal["auto", "decord", "pyav"],
    hardware: Literal["auto", "none"] = "none",
) -> VideoReader:
    """Open a video and read its frames' times.

    Args:
        path: file.
        decoder: ``auto`` takes PyAV.
        hardware: ``auto`` lets a GPU decode where there is one, unless decord is asked for.

    Raises:
        TakeError: as ``read_packet_times``, or ``video_undecodable`` if the decoder asked for
            cannot read the file.
    """
    times = read_packet_times(path)
    if decoder == "decord":
        try:
            check_decord(path, pts_ns=times.pts_ns)
        except DecordError as error:
            raise undecodable(path, "decord", error) from error
        return VideoReader(path=path, decoder="decord", pts_ns=times.pts_ns, _times=times)
    on_gpu = hardware == "auto" and gpu_may_decode()
    return VideoReader(
        path=path,
        decoder="pyav-cuda" if on_gpu else "pyav",
        pts_ns=times.pts_ns,
        _times=times,
    )
