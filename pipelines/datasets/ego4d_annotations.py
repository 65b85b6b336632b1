"""Ego4D's metadata file and its narrations."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pipelines.datasets.json_fields import as_seconds_ns, check_size, is_text, read_json
from pipelines.datasets.json_members import read_members
from pipelines.datasets.narrations import narration_order
from schemas.errors import UsageError
from schemas.limits import LARGEST_NARRATIONS_BYTES
from schemas.narration import Narration
from schemas.segment import SPLITS

__all__ = [
    "EGO4D_VERSIONS",
    "TEXT_SOURCE",
    "find_bases",
    "official_split",
    "read_ego4d_json",
    "read_narrations",
]

EGO4D_VERSIONS: Final = ("v2_1", "v2", "v1")
"""Folders that the download tool makes, the newest first."""

TEXT_SOURCE: Final = "narrations"

_METADATA: Final = "ego4d.json"
_NARRATIONS: Final = "narration.json"
_PASSES: Final = ("narration_pass_1", "narration_pass_2")
_SPLIT_FIELDS: Final = ("split_em", "split_av", "split_fho")
# "#C C picks": the wearer; "#O man X": somebody else. "#unsure", "#summary" name nobody.
_MARK: Final = re.compile(r"#\s?([CcOo])\b")


def find_bases(root: Path) -> tuple[str, ...]:
    """Return the folders that may hold videos, IMU and annotations, relative to ``root``.

    ``root`` may be the download's own folder or that of one version; the first comes first.
    """
    return (".", *(name for name in EGO4D_VERSIONS if (root / name).is_dir()))


def read_ego4d_json(root: Path) -> list[dict[str, Any]]:
    """Return the videos of ``ego4d.json``: at ``root``, in a version's folder, or above one.

    Raises:
        UsageError: if it is nowhere, or no such file.
    """
    places = [root / base / _METADATA for base in find_bases(root)]
    if root.name in EGO4D_VERSIONS:
        places.append(root.parent / _METADATA)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise UsageError(
            f"dataset.root must hold {_METADATA}, or a folder {' or '.join(EGO4D_VERSIONS)} that "
            f"does, as the Ego4D download lays it out, got none in {root}"
        )
    content = read_json(path, layout="Ego4D")
    videos = content.get("videos") if isinstance(content, dict) else None
    if not isinstance(videos, list):
        raise UsageError(f"{_METADATA} must hold a list of videos [{path}]")
    uids: set[str] = set()
    for i, video in enumerate(videos):
        uid = video.get("video_uid") if isinstance(video, dict) else None
        if not isinstance(uid, str) or not uid:
            raise UsageError(f"{_METADATA} video {i} must have a video_uid [{path}]")
        if uid in uids:
            raise UsageError(f"video_uid must be unique in {_METADATA}, got {uid} twice [{path}]")
        uids.add(uid)
    return videos


def official_split(video: Mapping[str, Any]) -> str | None:
    """Return the split of a video, by its benchmarks' splits in ``ego4d.json``.

    Ego4D has no split of its own, but one for each of three benchmarks (EM, AV, FHO), null where
    the video is no part of one. Those that are not null must agree; else the video has none.
    """
    given = (video.get(name) for name in _SPLIT_FIELDS)
    named = {name for name in given if isinstance(name, str)} & set(SPLITS)
    return named.pop() if len(named) == 1 else None


def read_narrations(
    root: Path, *, video_uids: Collection[str], first_pass_only: bool
) -> tuple[dict[str, tuple[Narration, ...]], dict[str, int]]:
    """Return the narrations of both passes, and what was left aside.

    The two passes are two annotators who saw the same video: they overlap.

    Args:
        root: dataset folder; its narration file may be absent.
        video_uids: videos that exist.
        first_pass_only: leave the second pass aside, uncounted.

    Returns:
        Narrations by video_uid, sorted by time, pass and text; counts of ``unknown_take`` (in
        passes) and ``malformed_narration`` (no time, or a text that is none).

    Raises:
        UsageError: if the narration file is no such file.
    """
    path = _find_narrations(root)
    if path is None:
        return {}, {}
    names = _PASSES[:1] if first_pass_only else _PASSES
    found: dict[str, tuple[Narration, ...]] = {}
    ignored: Counter[str] = Counter()
    for uid, passes in _read_passes(path):
        if not isinstance(passes, dict):
            # Beside the videos, the file may say its date and version.
            ignored["malformed_narration"] += uid in video_uids and passes is not None
            continue
        given = [name for name in names if passes.get(name) is not None]
        if uid not in video_uids:
            ignored["unknown_take"] += len(given)
            continue
        some = [n for name in given for n in _read_pass(passes[name], name=name, ignored=ignored)]
        if some:
            found[uid] = tuple(sorted(some, key=narration_order))
    return found, dict(+ignored)


def _find_narrations(root: Path) -> Path | None:
    for base in find_bases(root):
        for folder in (root / base / "annotations", root / base):
            if (folder / _NARRATIONS).is_file():
                return folder / _NARRATIONS
    return None


def _read_passes(path: Path) -> Iterator[tuple[str, Any]]:
    check_size(path, most=LARGEST_NARRATIONS_BYTES)
    # Millions of sentences: as values, the whole file would take gigabytes.
    try:
        yield from read_members(path.read_text(encoding="utf-8-sig"), inside=("videos",))
    except (ValueError, OSError, RecursionError) as error:
        raise UsageError(
            f"{path.name} must be readable JSON, passes by video_uid, got {error} [{path}]"
        ) from error


def _read_pass(content: object, *, name: str, ignored: Counter[str]) -> Iterator[Narration]:
    # A pass may hold summaries alone; what is no list is one entry that cannot be read.
    given = content.get("narrations") if isinstance(content, dict) else [content]
    entries = [] if given is None else given if isinstance(given, list) else [given]
    uids: dict[str, str] = {}
    for entry in entries:
        fields = entry if isinstance(entry, dict) else {}
        text, t_ns = fields.get("narration_text"), as_seconds_ns(fields.get("timestamp_sec"))
        annotation = str(fields.get("annotation_uid") or "")
        if not (text is None or is_text(text)) or not is_text(annotation) or t_ns is None:
            ignored["malformed_narration"] += 1
            continue
        yield Narration(
            narration_ns=t_ns,
            text_raw=text or "",
            text="",
            text_source=TEXT_SOURCE,
            # One string for all the sentences of an annotation.
            pass_uid=uids.setdefault(annotation, f"{name}:{annotation}") if annotation else name,
            subject=_subject(text or ""),
        )


def _subject(text: str) -> str | None:
    mark = _MARK.search(text)
    if mark is None:
        return None
    return "wearer" if mark.group(1) in "Cc" else "other"
