"""Ego-Exo4D's sentences (atomic descriptions, expert commentary) and official splits."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pipelines.config import TextConfig
from pipelines.datasets.json_fields import as_seconds_ns, is_text, read_json
from pipelines.datasets.narrations import narration_order, wanted_sources
from schemas.errors import UsageError
from schemas.narration import Narration

__all__ = ["LAYOUT", "TEXT_SOURCES", "read_narrations", "read_official_split"]

LAYOUT: Final = "Ego-Exo4D"
"""Whose download lays the folder out."""

# The first is read unless text.sources says otherwise.
TEXT_SOURCES: Final = ("atomic_descriptions", "expert_commentary")

_FILE_PARTS: Final = ("train", "val")
# C: the camera wearer; O: someone else.
_SUBJECTS: Final = {"C": "wearer", "O": "other"}
_FLAGS: Final = {True: True, False: False, "1": True, "0": False}


def read_narrations(
    root: Path, *, take_uids: Collection[str], text: TextConfig
) -> tuple[dict[str, tuple[Narration, ...]], dict[str, int]]:
    """Return the narrations of the wanted sources and passes, and what was left aside.

    Args:
        root: dataset folder; the annotation files of the default source may be absent.
        take_uids: takes that exist.
        text: which sources and passes; a take's first pass is the file's first, rejected or not.

    Returns:
        Narrations by take_uid, sorted by time, pass and text; counts of ``rejected_pass``,
        ``later_pass``, ``unknown_take`` (all three in passes), ``commentary_error`` and
        ``malformed_description`` (both in sentences).

    Raises:
        UsageError: if a source is unknown or has no file, or an annotation file is no such file.
    """
    wanted = wanted_sources(text, known=TEXT_SOURCES, dataset="egoexo4d")
    if text.sources is None:
        wanted = TEXT_SOURCES[:1]
    found: dict[str, list[Narration]] = {}
    ignored: Counter[str] = Counter()
    for source in wanted:
        paths = [root / "annotations" / f"{source}_{part}.json" for part in _FILE_PARTS]
        there = [path for path in paths if path.exists()]
        if text.sources is not None and not there:
            raise UsageError(
                f"text.sources names {source}, so one of its files must be there: "
                f"{' or '.join(map(str, paths))}"
            )
        for path in there:
            for take_uid, entries in _read_annotations(path).items():
                if take_uid not in take_uids:
                    ignored["unknown_take"] += len(entries)
                    continue
                if text.passes == "first":
                    ignored["later_pass"] += len(entries[1:])
                    entries = entries[:1]
                for entry in entries:
                    if entry.get("rejected"):
                        ignored["rejected_pass"] += 1
                        continue
                    some = found.setdefault(take_uid, [])
                    some.extend(_READERS[source](entry, ignored=ignored))
    ordered = {uid: tuple(sorted(some, key=narration_order)) for uid, some in sorted(found.items())}
    return ordered, dict(+ignored)


def read_official_split(root: Path) -> dict[str, str]:
    """Return ``take_uid: train, val or test`` by splits.json; empty where there is none.

    Raises:
        UsageError: if the file is no such file.
    """
    for path in (root / "annotations" / "splits.json", root / "splits.json"):
        if not path.exists():
            continue
        content = read_json(path, layout=LAYOUT)
        if isinstance(content, dict):
            if isinstance(by_uid := content.get("take_uid_to_split"), dict):
                return {str(uid): str(name) for uid, name in by_uid.items()}
            if isinstance(by_split := content.get("split_to_take_uids"), dict):
                strange = sorted(n for n, uids in by_split.items() if not isinstance(uids, list))
                if strange:
                    raise UsageError(
                        f"split_to_take_uids must hold lists, got none for {', '.join(strange)} "
                        f"[{path}]"
                    )
                return {str(uid): str(name) for name, uids in by_split.items() for uid in uids}
        raise UsageError(f"splits.json must hold take_uid_to_split [{path}]")
    return {}


def _read_annotations(path: Path) -> Mapping[str, list[dict[str, Any]]]:
    content = read_json(path, layout=LAYOUT)
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, dict):
        raise UsageError(f"{path.name} must hold annotations by take_uid [{path}]")
    for take_uid, passes in annotations.items():
        if not isinstance(passes, list) or not all(isinstance(p, dict) for p in passes):
            raise UsageError(f"annotations[{take_uid}] must be a list of passes [{path}]")
    return annotations


def _read_pass(entry: Mapping[str, Any], *, ignored: Counter[str]) -> Iterator[Narration]:
    for description in _entries(entry, "descriptions"):
        narration = _read_sentence(
            description,
            t_s=description.get("timestamp"),
            source="atomic_descriptions",
            pass_uid=str(entry.get("annotation_uid") or ""),
        )
        if narration is None:
            ignored["malformed_description"] += 1
        else:
            yield narration


def _read_commentary(entry: Mapping[str, Any], *, ignored: Counter[str]) -> Iterator[Narration]:
    # One expert's recordings over one take; each is a pass of its own, transcribed by a machine.
    for recording in _entries(entry, "commentary_data"):
        if recording.get("error"):
            ignored["commentary_error"] += 1
            continue
        narration = _read_sentence(
            recording,
            t_s=recording.get("video_time"),
            source="expert_commentary",
            pass_uid=f"{entry.get('commentary') or ''}/{recording.get('recording') or ''}",
        )
        if narration is None:
            ignored["malformed_description"] += 1
        else:
            yield narration


def _entries(entry: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    values = entry.get(name) or ()
    # What is no list is one entry that cannot be read, and counts as one.
    for value in values if isinstance(values, list | tuple) else (values,):
        yield value if isinstance(value, dict) else {}


def _read_sentence(
    fields: Mapping[str, Any], *, t_s: object, source: str, pass_uid: str
) -> Narration | None:
    """Return the sentence, an empty one too; None where it has no text or no instant at all."""
    text, t_ns = fields.get("text"), as_seconds_ns(t_s)
    if not is_text(text) or not is_text(pass_uid) or t_ns is None:
        return None
    # Early files call it narration_subject.
    subject = fields.get("subject", fields.get("narration_subject"))
    visible = fields.get("ego_visible")
    return Narration(
        narration_ns=t_ns,
        text_raw=text,
        text="",
        text_source=source,
        pass_uid=pass_uid,
        subject=_SUBJECTS.get(subject) if isinstance(subject, str) else None,
        # Early files write "0" and "1".
        visible=_FLAGS.get(visible) if isinstance(visible, bool | int | str) else None,
    )


_READERS: Final[Mapping[str, Callable[..., Iterator[Narration]]]] = {
    "atomic_descriptions": _read_pass,
    "expert_commentary": _read_commentary,
}
