"""Which camera made a GoPro clip, where its metadata track does not say.

Newer cameras name themselves in the file's header (``MINF`` in the box moov/udta/GPMF); the others
leave their firmware's name (``FIRM``), whose first letters tell the model.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from pipelines.imu.gpmf_klv import find_text
from pipelines.video.mp4_boxes import walk_boxes

__all__ = ["read_camera_model"]

_FIRMWARE: Final = ((re.compile(r"HD(\d+)\."), r"HERO\1"), (re.compile(r"FS\d?"), "Fusion"))
# A header's user data is some hundred bytes; more is none that a camera wrote.
_MAX_BYTES: Final = 1 << 20


def read_camera_model(path: Path) -> str:
    """Return the camera's model, such as ``HERO7 Black``; empty where the header does not say.

    Raises:
        OSError: if the file cannot be read.
        GpmfError: if the header's metadata are malformed.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        for udta_start, udta_end in _find(file, (b"moov", b"udta"), start=0, end=size):
            boxes = dict(_read_children(file, start=udta_start, end=udta_end))
            if b"GPMF" in boxes and (model := find_text(boxes[b"GPMF"], "MINF")):
                return model.strip()
            firmware = boxes.get(b"FIRM", b"").rstrip(b"\0").decode("latin-1")
            for pattern, model in _FIRMWARE:
                if found := pattern.match(firmware):
                    return found.expand(model)
    return ""


def _find(
    file: BinaryIO, names: tuple[bytes, ...], *, start: int, end: int
) -> Iterator[tuple[int, int]]:
    """Yield where the contents of the box with this path of names begin and end."""
    for name, first, last in walk_boxes(file, start=start, end=end):
        if name == names[0]:
            if len(names) == 1:
                yield first, last
            else:
                yield from _find(file, names[1:], start=first, end=last)


def _read_children(file: BinaryIO, *, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    for name, first, last in walk_boxes(file, start=start, end=end):
        if last - first <= _MAX_BYTES:
            file.seek(first)
            yield name, file.read(last - first)
