"""Size and age of every file below a folder, wherever it lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipelines.storage.faults import storage_faults
from pipelines.storage.places import Place, is_local
from schemas.errors import StorageError
from schemas.faults import with_retries

__all__ = ["FileAge", "file_ages"]

# As file systems of fsspec tell when an object was written last.
_TIMES: Final = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")


@dataclass(frozen=True, slots=True)
class FileAge:
    """What a listing tells of a file."""

    size: int
    """Bytes."""
    changed_s: float
    """When it was written last, seconds of Unix time."""


def file_ages(folder: Place) -> dict[str, FileAge]:
    """Return every file below ``folder`` by its path relative to it, sorted; none if there is none.

    Raises:
        StorageError: if it cannot be listed, or a listing tells no times.
    """
    found: dict[str, FileAge] = {}
    with storage_faults(folder):
        if is_local(folder):
            for path in folder.rglob("*"):
                try:
                    if path.is_file():
                        stat = path.stat()
                        name = path.relative_to(folder).as_posix()
                        found[name] = FileAge(stat.st_size, stat.st_mtime)
                except FileNotFoundError:
                    continue  # removed meanwhile
            return dict(sorted(found.items()))
        try:
            listed: dict[str, dict[str, Any]] = with_retries(
                lambda: folder.fs.find(folder.path, detail=True), what=f"list {folder}"
            )
        except FileNotFoundError:
            return {}
    for key, info in listed.items():
        name = key.removeprefix(folder.path.rstrip("/")).strip("/")
        if name:
            found[name] = FileAge(int(info["size"]), _changed_s(info, place=f"{folder}/{name}"))
    return dict(sorted(found.items()))


def _changed_s(info: Mapping[str, Any], *, place: str) -> float:
    for key in _TIMES:
        told = info.get(key)
        if isinstance(told, datetime):
            return told.timestamp()
        if isinstance(told, int | float):
            return float(told)
        if isinstance(told, str):
            return datetime.fromisoformat(told).timestamp()
    raise StorageError(
        f"a listing must tell when an object was written, got only {', '.join(sorted(info))}: "
        f"nothing is removed from such a place [{place}]"
    )
