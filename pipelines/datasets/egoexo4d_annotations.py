"""Ego-Exo4D's atomic descriptions and official splits."""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from schemas.errors import UsageError
from schemas.narration import Narration
from schemas.time import seconds_to_ns

__all__ = ["TEXT_SOURCE", "read_json", "read_narrations", "read_official_split"]

TEXT_SOURCE: Final = "atomic_descriptions"

_FILES: Final = ("atomic_descriptions_train.json", "atomic_descriptions_val.json")


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Return the content of a metadata file.

    Raises:
        UsageError: if it is not there or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"dataset.root must hold {path.name}, as the Ego-Exo4D download lays it out, "
            f"got none at {path}"
        ) from error
    except (ValueError, OSError) as error:
        raise UsageError(f"{path.name} must be readable JSON, got {error} [{path}]") from error


def read_narrations(
    root: Path, *, take_uids: Collection[str]
) -> tuple[dict[str, tuple[Narration, ...]], dict[str, int]]:
    """Return the narrations of every accepted pass, and what was left aside.

    Args:
        root: dataset folder; its annotation files may be absent.
        take_uids: takes that exist.

    Returns:
        Narrations by take_uid, sorted by time, pass and text; counts of ``rejected_pass``,
        ``unknown_take`` (both in passes) and ``malformed_description`` (in descriptions).

    Raises:
        UsageError: if an annotation file is no such file.
    """
    found: dict[str, list[Narration]] = {}
    ignored: Counter[str] = Counter()
    for path in (root / "annotations" / name for name in _FILES):
        if not path.exists():
            continue
        annotations = _annotations(read_json(path), path=path)
        for take_uid, passes in annotations.items():
            if not isinstance(passes, list) or not all(isinstance(p, dict) for p in passes):
                raise UsageError(f"annotations[{take_uid}] must be a list of passes [{path}]")
            if take_uid not in take_uids:
                ignored["unknown_take"] += len(passes)
                continue
            for entry in passes:
                if entry.get("rejected"):
                    ignored["rejected_pass"] += 1
                    continue
                found.setdefault(take_uid, []).extend(_read_pass(entry, ignored=ignored))
    ordered = {
        uid: tuple(sorted(some, key=lambda n: (n.narration_ns, n.pass_uid, n.text_raw)))
        for uid, some in sorted(found.items())
    }
    return ordered, dict(ignored)


def read_official_split(root: Path) -> dict[str, str]:
    """Return ``take_uid: train, val or test`` by splits.json; empty where there is none.

    Raises:
        UsageError: if the file is no such file.
    """
    for path in (root / "annotations" / "splits.json", root / "splits.json"):
        if not path.exists():
            continue
        content = read_json(path)
        if isinstance(content, dict):
            if isinstance(by_uid := content.get("take_uid_to_split"), dict):
                return {str(uid): str(name) for uid, name in by_uid.items()}
            if isinstance(by_split := content.get("split_to_take_uids"), dict):
                return {str(uid): str(name) for name, uids in by_split.items() for uid in uids}
        raise UsageError(f"splits.json must hold take_uid_to_split [{path}]")
    return {}


def _annotations(content: object, *, path: Path) -> Mapping[str, Any]:
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, dict):
        raise UsageError(f"{path.name} must hold annotations by take_uid [{path}]")
    return annotations


def _read_pass(entry: Mapping[str, Any], *, ignored: Counter[str]) -> Iterator[Narration]:
    for description in entry.get("descriptions") or ():
        fields = description if isinstance(description, dict) else {}
        text, timestamp = fields.get("text"), fields.get("timestamp")
        if (
            not isinstance(text, str)
            or not text.strip()
            or isinstance(timestamp, bool)
            or not isinstance(timestamp, int | float)
            or not math.isfinite(timestamp)
        ):
            ignored["malformed_description"] += 1
            continue
        yield Narration(
            narration_ns=seconds_to_ns(timestamp),
            text_raw=text,
            text="",
            text_source=TEXT_SOURCE,
            pass_uid=str(entry.get("annotation_uid") or ""),
        )
