"""From a decoded picture to upright RGB of the size asked for.

Colours are converted at full size by libav, as decord does it too, and then scaled by torch's
antialiased bicubic on bytes: to a grey level here and there the pixels that PIL makes of full
frames, whoever decoded. libav scales while it converts, a tenth to a third faster, but treats
colour otherwise: every picture's embedding moves the same way by a twentieth of a grid step, and
the mean of a window by half a step. Scaling the planes first and converting the small picture by
the same code as the large one still moves the mean by a tenth: colours too bright for RGB are cut
off pixel by pixel.
"""

import threading
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

__all__ = ["PictureConverter", "scaled_size", "shrink", "upright_size"]

# Only the colours are converted, as decord does it.
_SAME_SIZE: Final = Interpolation.BILINEAR
# What a GPU hands out, and the planes in which a processor's decoder holds the very same values.
_PLANAR: Final = {"nv12": "yuv420p", "p010le": "yuv420p10le", "p016le": "yuv420p16le"}


def scaled_size(height: int, width: int, *, short_side: int | None) -> tuple[int, int]:
    """Return height and width once the shorter side is ``short_side``; never enlarged.

    The longer side is cut to whole pixels, as CLIP's preprocessing does it.
    """
    short = min(height, width)
    if short_side is None or short <= short_side:
        return height, width
    return int(short_side * height / short), int(short_side * width / short)


def upright_size(frame: VideoFrame, *, short_side: int | None) -> tuple[int, int]:
    """Return the height and width that ``frame`` has once it is scaled and stands upright."""
    height, width = scaled_size(frame.height, frame.width, short_side=short_side)
    return (width, height) if frame.rotation % 180 else (height, width)


def shrink(picture: npt.NDArray[np.uint8], *, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Return an RGB picture (H, W, 3) in a smaller size (height, width, 3), or as it is in its own.

    Bytes are scaled in whole numbers: bits do not depend on torch's number of threads.
    """
    if picture.shape[:2] == (height, width):
        return picture
    # With a whole picture's stride for the batch torch sees that colours lie innermost, and leaves
    # them there; told [None] it would part them.
    whole = np.require(picture, requirements=["C", "W"]).reshape(1, *picture.shape)
    smaller = torch.nn.functional.interpolate(
        torch.from_numpy(whole).permute(0, 3, 1, 2),
        size=(height, width),
        mode="bicubic",
        antialias=True,
    )
    found: npt.NDArray[np.uint8] = smaller.permute(0, 2, 3, 1).numpy()[0]
    return found


class PictureConverter:
    """Converts decoded pictures; may be used by several threads at once.

    Each picture is converted by one thread, so that its bits do not depend on how many there are.
    """

    def __init__(self, *, short_side: int | None) -> None:
        self._short_side = short_side
        self._own = threading.local()

    def convert(self, frame: VideoFrame, out: npt.NDArray[np.uint8]) -> None:
        """Write ``frame`` into ``out``, (h, w, 3) of :func:`upright_size`."""
        if not hasattr(self._own, "scaler"):
            # Kept: their filters are worked out once, not for every picture.
            self._own.scaler, self._own.planes = VideoReformatter(), VideoReformatter()
        scaler: VideoReformatter = self._own.scaler
        if (planar := _PLANAR.get(frame.format.name)) is not None:
            planes: VideoReformatter = self._own.planes
            frame = planes.reformat(frame, format=planar, threads=1)
        rgb = scaler.reformat(frame, format="rgb24", interpolation=_SAME_SIZE, threads=1)
        # Upright, as decord gives it and a player shows it.
        pixels: npt.NDArray[np.uint8] = np.asarray(rgb.to_ndarray(), dtype=np.uint8)
        upright = np.rot90(pixels, frame.rotation // 90)
        out[...] = shrink(upright, height=out.shape[0], width=out.shape[1])
