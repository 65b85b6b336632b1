"""Which key frames a decoder may begin at and then give exactly what it gives in one pass.

Containers call frames key frames by looser rules than codecs do. H.264's IDR pictures empty the
decoder's memory of pictures, so nothing after one leans on anything before it (ITU-T H.264,
7.4.1.2.4); its other key frames may only begin a gradual refresh. HEVC's intra random access
pictures allow the same for all pictures shown after them (ITU-T H.265, clause 3).
"""

from collections.abc import Iterator
from typing import Final

from av.packet import Packet
from av.video.stream import VideoStream

__all__ = ["KeyFrameTest"]

# Every key frame of these codecs begins anew.
_ALWAYS: Final = frozenset({"av1", "vp8", "vp9", "mjpeg", "png", "prores", "ffv1"})
_AVC_SLICES: Final = range(1, 6)
_AVC_IDR: Final = 5
_HEVC_SLICES: Final = range(32)
_HEVC_IRAP: Final = range(16, 22)
_START: Final = b"\x00\x00\x01"


class KeyFrameTest:
    """Tells of a key frame's packet whether decoding may begin there."""

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        self._codec = context.codec.canonical_name
        extra = context.extradata or b""
        # The configuration record of mp4 and mkv begins with its version, 1, and says of how many
        # bytes a length has; without one, units stand between start codes.
        at = {"h264": 4, "hevc": 21}.get(self._codec, 0)
        counted = len(extra) > at and extra[0] == 1
        self._length_bytes = extra[at] % 4 + 1 if counted else 0

    def __call__(self, packet: "Packet[VideoStream]") -> bool:
        """Return whether the frame in ``packet``, marked as a key frame, needs none before it."""
        if self._codec in _ALWAYS:
            return True
        if self._codec not in ("h264", "hevc"):
            return False
        units = self._first_bytes(bytes(packet))
        if self._codec == "h264":
            return next((u % 32 for u in units if u % 32 in _AVC_SLICES), 0) == _AVC_IDR
        kinds = (unit >> 1 & 63 for unit in units)
        return next((kind for kind in kinds if kind in _HEVC_SLICES), 0) in _HEVC_IRAP

    def _first_bytes(self, data: bytes) -> Iterator[int]:
        """Yield the first byte of each unit of the bit stream."""
        if self._length_bytes:
            at = 0
            while at + self._length_bytes < len(data):
                length = int.from_bytes(data[at : at + self._length_bytes], "big")
                at += self._length_bytes
                yield data[at]
                at += length
        else:
            at = data.find(_START)
            while 0 <= at < len(data) - len(_START):
                yield data[at + len(_START)]
                at = data.find(_START, at + len(_START))
