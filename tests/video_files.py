"""Small video files with moving textures, written by PyAV."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from pipelines.synthetic.svt_av1 import tamed_svt


def make_frames(
    count: int, *, height: int = 96, width: int = 160, seed: int = 0
) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield frames of a texture that drifts by (3, 2) pixels a frame, each marked in a corner."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (height // 8 + 40, width // 8 + 40, 3), dtype=np.uint8)
    picture = np.kron(cells, np.ones((8, 8, 1), np.uint8))
    for i in range(count):
        top, left = 2 * i % 300, 3 * i % 300
        frame = picture[top : top + height, left : left + width].copy()
        frame[:16, :16] = 40 + i % 8 * 25
        yield frame


def write_video(
    path: Path,
    frames: Iterator[npt.NDArray[np.uint8]] | Sequence[npt.NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    rate: Fraction = Fraction(30),
    pts: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    rotation: int = 0,
    gop: int = 250,
) -> Path:
    """Encode frames with B-frames and one key frame every ``gop``; the index leads the file.

    Args:
        path: mp4 file to write.
        frames: RGB, (H, W, 3) uint8.
        codec: encoder's name.
        rate: frames a second.
        pts: presentation times in 1/90000 s, for a variable rate.
        options: of the encoder.
        rotation: of the display, degrees.
        gop: longest distance of key frames.
    """
    with (
        tamed_svt() if codec == "libsvtav1" else nullcontext(),
        av.open(str(path), "w", options={"movflags": "faststart"}) as container,
    ):
        stream = container.add_stream(codec, rate=rate)
        stream.pix_fmt = "yuv420p"
        stream.gop_size = gop
        stream.options = options or {"preset": "veryfast", "crf": "20", "bf": "3", "threads": "1"}
        if rotation:
            stream.set_display_rotation(rotation)
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 90_000)
        for i, rgb in enumerate(frames):
            if i == 0:
                stream.height, stream.width = rgb.shape[:2]
            # Converted here and one thread: what the encoder does by itself varies from run to run.
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
            if pts is not None:
                frame.pts, frame.time_base = pts[i], Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """Write an mp4 that holds sound alone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
