"""A media file opened for reading, once it is known to be no trap.

Libav tells a file's kind by its content, and some kinds are lists of other files: whoever names one
``take.mp4`` could have any file of the machine read. So only kinds that hold their own content are
opened, and nothing but the file itself.
"""

from pathlib import Path
from typing import Final

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import ArgumentError

from pipelines.video.mp4_boxes import check_sample_counts
from schemas.errors import TakeError
from schemas.limits import LARGEST_PICTURE_PIXELS

__all__ = ["DECODER_OPTIONS", "open_container"]

_KINDS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,asf,flv,mxf,ivf,h264,hevc,ogg,wav,mp3,"
    "flac,aac"
)
DECODER_OPTIONS: Final = {"max_pixels": str(LARGEST_PICTURE_PIXELS)}
"""Of every decoder: frames inside a stream may claim another size than the header."""


def open_container(path: Path, *, accelerator: HWAccel | None = None) -> InputContainer:
    """Open a media file.

    Args:
        path: file.
        accelerator: of a decoder that is no processor.

    Raises:
        TakeError: ``video_too_large`` or ``video_unreadable`` if the header claims what cannot be,
            or the file is none of the kinds that are opened.
        FFmpegError: if it cannot be read.
        OSError: the same.
    """
    check_sample_counts(path)
    try:
        return av.open(
            str(path),
            hwaccel=accelerator,
            # A title in other letters than UTF-8's is no fault of the picture.
            metadata_errors="replace",
            options={"format_whitelist": _KINDS, "protocol_whitelist": "file", **DECODER_OPTIONS},
        )
    except ArgumentError as error:
        raise TakeError(
            "video_unreadable",
            "video must be a whole file that holds its own frames, such as mp4 or Matroska "
            f"[{path}]",
        ) from error
