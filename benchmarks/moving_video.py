"""Video to measure on: a head's turning view of a textured world, the same bytes each time.

H.264 by x264's preset medium, crf 23, a key frame every 250 frames, 30 frames a second, 8 bit
4:2:0. That is about 1 Mbit/s at 448 px and 6 at 1408, with B-frames a tenth to a fifth less: what
cameras of that size give, and decoding costs go by bits as well as by pixels. Long videos are a
piece of whole groups of pictures over and over again, which costs a decoder as much as new ones.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from pipelines.synthetic.picture import make_world, render_frame

__all__ = ["FPS", "GOP_FRAMES", "loop_video", "megabits_a_second", "write_moving_video"]

FPS: Final = 30
GOP_FRAMES: Final = 250
_SEED: Final = 0
_ACTIVITY: Final = 5
# The size at which a pixel of the picture is one of the painted world.
_WORLD_PX: Final = 896
# Without the last two, the bytes would depend on the processor's vector instructions.
_LENS: Final = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_CENTRE_PX: Final = (500.0, 500.0)
# With several threads x264's bytes came out otherwise on a busy machine.
_X264_THREADS: Final = 1
# The vector code of its macroblock tree reads past the end of a row: with B-frames, what lay in
# that memory before decided bytes.
_X264_PARAMS: Final = "cpu-independent=1"


def write_moving_video(path: Path, *, frames: int, size_px: int, b_frames: int) -> Path:
    """Write a video of ``frames`` different frames, and return its path.

    Args:
        path: mp4 file to write.
        frames: how many.
        size_px: side of the square picture, a multiple of 4.
        b_frames: in a row at most; 3 is x264's own choice, with its pyramid.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = size_px
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = _X264_THREADS
        stream.options = {
            "preset": "medium",
            "crf": "23",
            "g": str(GOP_FRAMES),
            "bf": str(b_frames),
            "x264-params": _X264_PARAMS,
        }
        # Scaled as optics would: the world's own pixels have edges that no camera sees.
        lens = VideoReformatter()
        for index, planes in enumerate(_render(frames)):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame = lens.reformat(frame, size_px, size_px, interpolation=_LENS, threads=1)
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def loop_video(piece: Path, path: Path, *, seconds: float) -> Path:
    """Write ``piece`` over and over until ``seconds`` are full, its packets copied as they are.

    Args:
        piece: a file of ``write_moving_video``.
        path: mp4 file to write; its length is a whole number of pieces.
        seconds: shortest length.
    """
    with av.open(str(path), "w") as output:
        stream, shift, length_s = None, 0, Fraction(0)
        while length_s < seconds:
            with av.open(str(piece)) as container:
                source = container.streams.video[0]
                time_base = source.time_base
                if stream is None:
                    stream = output.add_stream_from_template(source)
                if time_base is None or source.duration is None:
                    raise ValueError(f"the piece must know its length, got none [{piece}]")
                for packet in container.demux(source):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                    packet.stream = stream
                    output.mux(packet)
                shift += source.duration
                length_s = shift * time_base
    return path


def megabits_a_second(path: Path) -> float:
    """Return the bit rate of a video file, Mbit/s."""
    with av.open(str(path)) as container:
        duration = container.duration
    if not duration:
        raise ValueError(f"the video must know its length, got none [{path}]")
    return path.stat().st_size * 8 / (duration / 1e6) / 1e6


def _render(frames: int) -> Iterator[npt.NDArray[np.uint8]]:
    world = make_world(_ACTIVITY, sub_action=1)
    rng = np.random.default_rng(_SEED)
    hz, phase = rng.uniform(0.2, 1.5, (3, 4)), rng.uniform(0, 2 * np.pi, (3, 4))
    t_s = np.arange(frames) / FPS
    swing = np.sin(2 * np.pi * hz[:, :, None] * t_s + phase[:, :, None]).mean(axis=1).T
    # Yaw, pitch and roll of a head that looks about, rad.
    angles = swing * np.array([0.5, 0.3, 0.1])
    for index in range(frames):
        yield render_frame(
            world, angles=angles[index], centre_px=_CENTRE_PX, size_px=_WORLD_PX, index=index
        )
