"""Decoding on an NVIDIA GPU, by libav's ``cuda`` device: whether there may be one, and the frames.

H.264, HEVC, VP9 and AV1 say exactly what a decoder gives, so a GPU's pictures are those of a
processor's decoder. They arrive as planes of brightness and interleaved colour; once these are
taken apart, without loss, the same code scales and converts both.
"""

import os
from pathlib import Path
from typing import Final

from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

__all__ = ["HardwareError", "download", "gpu_may_decode", "new_accelerator"]

_DEVICE_TYPE: Final = "cuda"
# The driver's device on Linux, and under Windows' Linux.
_DRIVERS: Final = (Path("/dev/nvidiactl"), Path("/dev/dxg"))


class HardwareError(Exception):
    """The GPU could not open or decode a file."""


def gpu_may_decode() -> bool:
    """Return whether trying is worth it: a driver, devices not hidden, and a libav built for them.

    Only a trial tells whether a GPU decodes a given file; this spares machines without one.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return (
        not hidden
        and any(driver.exists() for driver in _DRIVERS)
        and _DEVICE_TYPE in hwdevices_available()
    )


def new_accelerator() -> HWAccel:
    """Return what ``av.open`` needs in order to decode on the GPU and leave the pictures there."""
    # Left there until they are known to be wanted: most frames of a video are not.
    return HWAccel(device_type=_DEVICE_TYPE, allow_software_fallback=False, is_hw_owned=True)


def download(frame: VideoFrame, *, stream: VideoStream) -> VideoFrame:
    """Return a copy of ``frame`` in this machine's memory, its pixels as they are.

    Raises:
        HardwareError: if the frame is of no kind known.
    """
    held_as = stream.codec_context.sw_format
    if held_as is None:
        raise HardwareError("frame is not the GPU's")
    return VideoReformatter().reformat(frame, format=held_as.name)
