"""Which GoPro files are chapters of one recording, by their names.

HERO6 and later write ``GX010123.MP4``, ``GX020123.MP4`` (``GH`` for H.264): a chapter of two digits
and a recording of four. HERO5 and earlier write ``GOPR0123.MP4``, then ``GP010123.MP4``: GoPro's
"File naming convention".
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

__all__ = ["group_chapters"]

_NEW: Final = re.compile(r"(G[A-Z])(\d{2})(\d{4})\.mp4", re.IGNORECASE)
_OLD_FIRST: Final = re.compile(r"GOPR(\d{4})\.mp4", re.IGNORECASE)
_OLD_LATER: Final = re.compile(r"GP(\d{2})(\d{4})\.mp4", re.IGNORECASE)


def group_chapters(clips: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the clips by recording, chapters in order; a clip of another name stands alone.

    Where a chapter is missing, what follows is a recording of its own: how long the missing one
    was is not known.

    Args:
        clips: paths with forward slashes; chapters of one recording lie in one folder.
    """
    found: dict[tuple[str, str, str], dict[int, str]] = {}
    groups: list[tuple[str, ...]] = []
    for clip in sorted(clips):
        place = _place(PurePosixPath(clip))
        if place is None:
            groups.append((clip,))
            continue
        recording, chapter = place
        chapters = found.setdefault(recording, {})
        if chapter in chapters:  # GX010123.mp4 beside GX010123.MP4
            groups.append((clip,))
        else:
            chapters[chapter] = clip
    for chapters in found.values():
        run: list[str] = []
        for chapter in sorted(chapters):
            if run and chapter - 1 not in chapters:
                groups.append(tuple(run))
                run = []
            run.append(chapters[chapter])
        groups.append(tuple(run))
    return sorted(groups)


def _place(clip: PurePosixPath) -> tuple[tuple[str, str, str], int] | None:
    """Return folder, family and number of the clip's recording, and its chapter; None of others."""
    folder = clip.parent.as_posix()
    if first := _OLD_FIRST.fullmatch(clip.name):
        return (folder, "GOPR", first[1]), 0
    if later := _OLD_LATER.fullmatch(clip.name):
        return (folder, "GOPR", later[2]), int(later[1])
    if new := _NEW.fullmatch(clip.name):
        return (folder, new[1].upper(), new[3]), int(new[2])
    return None
