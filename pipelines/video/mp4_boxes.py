"""The boxes of an mp4 file, and how many samples its tracks claim (ISO/IEC 14496-12)."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from schemas.errors import TakeError
from schemas.limits import MOST_MP4_BOXES, MOST_VIDEO_SAMPLES

__all__ = ["check_sample_counts", "walk_boxes"]

_FOLDERS: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
_SOUND: Final = b"soun"


def walk_boxes(file: BinaryIO, *, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield each box's name and where its contents begin and end (section 4.2).

    A box that reaches beyond ``end`` is cut there.
    """
    at = start
    while at + 8 <= end:
        file.seek(at)
        head = file.read(16)
        size, first = int.from_bytes(head[:4], "big"), at + 8
        if size == 1:
            size, first = int.from_bytes(head[8:16], "big"), at + 16
        last = end if size == 0 else min(at + size, end)
        if last < first:
            return
        yield head[4:8], first, last
        at = last


def check_sample_counts(path: Path) -> None:
    """Refuse a file that claims more samples than it can hold, before anyone makes room for them.

    A few bytes can claim billions of samples of one size, and libav keeps a row of each. Files of
    other kinds have no such boxes, and pass.

    Raises:
        TakeError: ``video_too_large`` with the claim; ``video_unreadable`` if the file cannot be
            read, or its header is compressed.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if file.read(12)[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
                _Counting(file, size=size, path=path).check(0, size)
    except OSError as error:
        said = error.strerror or str(error)
        raise TakeError(
            "video_unreadable", f"video must be readable, got {said} [{path}]"
        ) from error
    except RecursionError as error:
        raise TakeError(
            "video_unreadable", f"video must not nest boxes so deep [{path}]"
        ) from error


class _Counting:
    def __init__(self, file: BinaryIO, *, size: int, path: Path) -> None:
        self._file = file
        self._size = size
        self._path = path
        self._boxes = 0
        self._fragment_samples = 0
        self._sound = False
        self._one_a_tick = False

    def check(self, start: int, end: int) -> None:
        for name, first, last in walk_boxes(self._file, start=start, end=end):
            self._boxes += 1
            if self._boxes > MOST_MP4_BOXES:
                self._refuse(f"at most {MOST_MP4_BOXES} boxes", "more")
            if name == b"cmov":
                raise TakeError(
                    "video_unreadable",
                    f"video must hold its header as it is, got a compressed one [{self._path}]",
                )
            if name in _FOLDERS:
                if name == b"trak":
                    self._sound = self._one_a_tick = False
                self.check(first, last)
            elif name == b"hdlr":
                self._sound = self._words(first, last, 3)[8:12] == _SOUND
            elif name == b"stts":
                # One run of samples a tick each: uncompressed sound, which libav reads by chunks.
                words = self._words(first, last, 4)
                self._one_a_tick = words[4:8] == b"\0\0\0\1" == words[12:16]
            elif name in (b"stsz", b"stz2"):
                self._check_table(first, last)
            elif name == b"trun":
                self._fragment_samples += int.from_bytes(self._words(first, last, 2)[4:8], "big")
                self._check_count(self._fragment_samples)

    def _words(self, first: int, last: int, count: int) -> bytes:
        self._file.seek(first)
        return self._file.read(min(4 * count, last - first)).ljust(4 * count, b"\0")

    def _check_table(self, first: int, last: int) -> None:
        words = self._words(first, last, 3)
        each, count = int.from_bytes(words[4:8], "big"), int.from_bytes(words[8:12], "big")
        if self._sound and self._one_a_tick and each:
            return
        self._check_count(count)

    def _check_count(self, count: int) -> None:
        if count > MOST_VIDEO_SAMPLES:
            self._refuse(f"at most {MOST_VIDEO_SAMPLES} samples a track", str(count))
        if count > self._size:
            self._refuse(f"no more samples than its {self._size} bytes", str(count))

    def _refuse(self, rule: str, got: str) -> None:
        raise TakeError("video_too_large", f"video must list {rule}, got {got} [{self._path}]")
