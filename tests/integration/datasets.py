"""A dataset that a test may change: files shared with the one it was made from, until replaced."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["add_sentence", "change_json", "copy_dataset", "take_folders"]


def copy_dataset(source: Path, dest: Path) -> Path:
    """Return ``dest``, made of links to the files of ``source``: a moment, and no room."""
    shutil.copytree(source, dest, copy_function=os.link)
    return dest


def change_json(path: Path, change: Callable[[Any], None]) -> None:
    """Replace a JSON file by what ``change`` makes of it; the one it is linked to stays."""
    document = json.loads(path.read_bytes())
    change(document)
    path.unlink()
    path.write_text(json.dumps(document))


def take_folders(root: Path) -> dict[str, Path]:
    """Return the folder of each take of an Ego-Exo4D dataset, by take uid, sorted."""
    takes = json.loads((root / "takes.json").read_bytes())
    return {
        take["take_uid"]: root / "takes" / take["take_name"]
        for take in sorted(takes, key=lambda take: str(take["take_uid"]))
    }


def add_sentence(root: Path, take_uid: str, *, text: str, at_s: float) -> None:
    """Add an atomic description to a take's first pass that was not rejected."""
    added = 0

    def change(document: Any) -> None:
        nonlocal added
        for one in document["annotations"].get(take_uid, []):
            if not one["rejected"] and not added:
                like = one["descriptions"][0]
                one["descriptions"].append({**like, "text": text, "timestamp": at_s})
                added = 1

    for path in sorted((root / "annotations").glob("atomic_descriptions_*.json")):
        change_json(path, change)
    assert added == 1, f"take {take_uid} must have a pass of sentences"
