"""The published way to a window's frames, and the floor that no way can go below.

The published code opens the video for every window, seeks, decodes all 150 frames of its five
seconds, turns each from BGR to RGB, scales each to 224 pixels by PIL's bicubic, and keeps every
third. It is written here anew from that description, on OpenCV with as many threads as OpenCV
takes by itself.
"""

import argparse
import importlib.util
from itertools import islice
from pathlib import Path
from typing import Final

import av
import numpy as np
import numpy.typing as npt
from moving_video import FPS
from PIL import Image

__all__ = [
    "EVERY_S",
    "FRAMES_KEPT",
    "IMAGE_SIZE",
    "KEEP_EVERY",
    "WINDOW_S",
    "decode_only",
    "describe_opencv",
    "read_published_window",
    "require_opencv",
]

WINDOW_S: Final = 5
EVERY_S: Final = 2
KEEP_EVERY: Final = 3
IMAGE_SIZE: Final = 224
FRAMES_KEPT: Final = WINDOW_S * FPS // KEEP_EVERY
Pixels = npt.NDArray[np.uint8]


def require_opencv(parser: argparse.ArgumentParser) -> None:
    """End the program with one sentence where OpenCV is not installed."""
    if importlib.util.find_spec("cv2") is None:
        parser.error("the published way needs opencv-python-headless, of the extra dev")


def describe_opencv() -> dict[str, str | int]:
    """Return OpenCV's version and the threads it takes by itself."""
    import cv2

    return {"opencv": cv2.__version__, "opencv_threads": cv2.getNumThreads()}


def read_published_window(path: Path, *, first_frame: int, scale: bool = True) -> Pixels:
    """Return the kept frames (50, 224, 224, 3) of the window that starts with ``first_frame``.

    Args:
        path: video of a constant rate.
        first_frame: seeked to.
        scale: by PIL, all 150; else the kept frames come in their own size (50, H, W, 3).

    Raises:
        ValueError: if the video ends before the window does.
    """
    import cv2

    size, bicubic = (IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC
    frames: list[Pixels] = []
    capture = cv2.VideoCapture(str(path))
    try:
        capture.set(cv2.CAP_PROP_POS_FRAMES, first_frame)
        for number in range(WINDOW_S * FPS):
            there, bgr = capture.read()
            if not there:
                raise ValueError(f"the window must end with the video, got {number} frames of it")
            rgb: Pixels = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            if scale:
                rgb = np.asarray(Image.fromarray(rgb).resize(size, bicubic))
            if scale or number % KEEP_EVERY == 0:
                frames.append(rgb)
    finally:
        capture.release()
    return np.stack(frames[::KEEP_EVERY] if scale else frames)


def decode_only(path: Path, *, frames: int, threads: int) -> int:
    """Decode the first frames once by PyAV, do nothing with them; return how many there were."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        return sum(1 for _ in islice(container.decode(stream), frames))
