"""Small JPEGs of frames, for reports."""

from io import BytesIO
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["THUMBNAIL_PX", "encode_thumbnail"]

THUMBNAIL_PX: Final = 96
_QUALITY: Final = 75


def encode_thumbnail(frame: npt.NDArray[np.uint8]) -> bytes:
    """Return a JPEG of an RGB frame (H, W, 3), its longer side at most 96 pixels."""
    picture = Image.fromarray(frame)
    picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    picture.save(buffer, format="JPEG", quality=_QUALITY)
    return buffer.getvalue()
