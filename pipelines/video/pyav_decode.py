"""Decoding by PyAV: one pass over what is needed, nothing beyond it.

Packets of frames that nobody wants and no other frame leans on are not decoded, frames that nobody
wants are not converted, and stretches between key frames that hold no wanted frame are jumped over.
None of this may change a pixel: wherever a shortcut does not lead to the very frame that was
wanted, told by its presentation time, the rest is decoded from the start of the file without any.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipelines.video.decode_runs import DecodeRun, plan_runs
from pipelines.video.hardware import HardwareError, download, new_accelerator
from pipelines.video.packet_times import PacketTimes, undecodable
from pipelines.video.picture_chunks import PictureChunks
from pipelines.video.picture_stream import open_picture
from pipelines.video.scale import upright_size
from schemas.errors import TakeError

__all__ = ["read_hardware", "read_pyav", "read_size"]

Pixels = npt.NDArray[np.uint8]

# In H.264 a frame that is "not used for reference" is so by no other frame at all (nal_ref_idc,
# 7.4.1). In HEVC frames of a higher temporal layer may lean on one: there nothing is left out.
_LEAVES_OUT: Final = frozenset({"h264"})
# A frame thread waits for the frames that its own leans on, and shares its core with a helper that
# converts: one thread more than there are cores keeps them busy.
_MORE_THREADS: Final = 1


class _MissingFrameError(Exception):
    """The wanted frame did not come out of the decoder, or not whole."""


def read_pyav(
    path: Path,
    indices: npt.NDArray[np.int64],
    *,
    times: PacketTimes,
    chunk: int,
    short_side: int | None,
    threads: int,
) -> Iterator[Pixels]:
    """Yield the frames at ``indices`` as RGB (n, h, w, 3), ``chunk`` at a time.

    Args:
        path: file.
        indices: (N,) int64, strictly increasing places in presentation order.
        times: of the file.
        chunk: frames a chunk.
        short_side: pixels to which the shorter side is scaled down; None for full size.
        threads: cores kept busy; with more than one, pictures are converted beside decoding. With
            one all work is done by the caller's thread.

    Raises:
        TakeError: ``video_undecodable`` if any wanted frame cannot be decoded.
    """
    with PictureChunks(
        total=len(indices), chunk=chunk, short_side=short_side, threads=threads, name=path.name
    ) as chunks:
        try:
            yield from _decode(path, indices, times=times, chunks=chunks, threads=threads)
        except (_MissingFrameError, av.FFmpegError):
            left = indices[chunks.added :]
            try:
                yield from _decode(
                    path, left, times=times, chunks=chunks, threads=threads, shortcuts=False
                )
            except av.FFmpegError as error:
                raise undecodable(path, "PyAV", error) from error
            except _MissingFrameError as error:
                raise TakeError(
                    "video_undecodable",
                    f"every wanted frame must decode whole, frame {indices[chunks.added]} does not "
                    f"[{path.name}]",
                ) from error


def read_hardware(
    path: Path,
    indices: npt.NDArray[np.int64],
    *,
    times: PacketTimes,
    chunk: int,
    short_side: int | None,
    threads: int,
) -> Iterator[Pixels]:
    """Yield the same frames, decoded on the GPU, scaled and converted by this machine's cores.

    Raises:
        HardwareError: if the GPU cannot open or decode the file; frames that were not given out by
            then are left to another decoder.
    """
    with PictureChunks(
        total=len(indices), chunk=chunk, short_side=short_side, threads=threads, name=path.name
    ) as chunks:
        try:
            yield from _decode(
                path,
                indices,
                times=times,
                chunks=chunks,
                # Frames of one stream are decoded one after another on the GPU.
                threads=1,
                accelerator=new_accelerator(),
            )
        except (
            _MissingFrameError, TakeError, OSError, RuntimeError, ValueError, NotImplementedError
        ) as error:  # fmt: skip
            raise HardwareError(str(error) or type(error).__name__) from error


def read_size(path: Path) -> tuple[int, int]:
    """Return height and width of a file's pictures, upright; decodes the first.

    Raises:
        TakeError: ``video_undecodable`` if it cannot be decoded.
    """
    try:
        with open_picture(path) as (container, stream):
            first = next(container.decode(stream), None)
    except av.FFmpegError as error:
        raise undecodable(path, "PyAV", error) from error
    if first is None:
        raise TakeError("video_undecodable", f"first frame must decode [{path.name}]")
    return upright_size(first, short_side=None)


def _decode(
    path: Path,
    indices: npt.NDArray[np.int64],
    *,
    times: PacketTimes,
    chunks: PictureChunks,
    threads: int,
    accelerator: HWAccel | None = None,
    shortcuts: bool = True,
) -> Iterator[Pixels]:
    wanted = times.pts[indices]
    with open_picture(path, accelerator=accelerator) as (container, stream):
        context = stream.codec_context
        context.thread_type = "AUTO" if threads > 1 else "NONE"
        context.thread_count = threads + _MORE_THREADS if threads > 1 else 1
        if accelerator is not None and not context.is_hwaccel:
            raise HardwareError("the codec is not the GPU's")
        leaves_out = shortcuts and context.codec.canonical_name in _LEAVES_OUT
        for run in plan_runs(indices, times=times, jump=shortcuts):
            here = wanted[run.start : run.stop]
            needs = np.ones(run.last_packet + 1 - run.first_packet, dtype=np.bool_)
            if leaves_out:
                needs[:] = False
                needs[times.places[indices[run.start : run.stop]] - run.first_packet] = True
            packets = _packets(container, stream, run, times=times)
            at = 0
            for frame in _frames(packets, stream, needs=needs.tobytes()):
                if frame.pts is None or frame.pts < here[at]:
                    continue
                if frame.pts > here[at] or frame.is_corrupt:
                    break
                if accelerator is not None:
                    frame = download(frame, stream=stream)
                yield from chunks.add(frame)
                at += 1
                if at == len(here):
                    break
            if at < len(here):
                raise _MissingFrameError


def _packets(
    container: InputContainer, stream: VideoStream, run: DecodeRun, *, times: PacketTimes
) -> Iterator["Packet[VideoStream]"]:
    """Yield the packets of a run, then nothing."""
    found = run.key < 0
    key_pts = int(times.key_pts[run.key]) if not found else None
    left = run.last_packet + 1 - run.first_packet
    if not found:
        container.seek(int(times.key_seek[run.key]), stream=stream)
    for packet in container.demux(stream):
        if not packet.size:
            continue
        # A container may land before the key frame; what lies between is read over. If it lands
        # behind, the key frame is never met.
        found = found or (packet.is_keyframe and packet.pts == key_pts)
        if not found:
            continue
        yield packet
        left -= 1
        if not left:
            return
    raise _MissingFrameError


def _frames(
    packets: Iterator["Packet[VideoStream]"], stream: VideoStream, *, needs: bytes
) -> Iterator[VideoFrame]:
    """Yield what comes out of the decoder, the rest of it after the last packet too."""
    context = stream.codec_context
    skipping = False
    for packet, needed in zip(packets, needs, strict=True):
        if skipping == needed:
            skipping = not needed
            # Libav hands it to a decoding thread together with the packet.
            context.skip_frame = "NONREF" if skipping else "DEFAULT"
        yield from context.decode(packet)
    yield from context.decode(None)
