"""What lies in a folder of a store: names, sizes, and small objects read whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from pipelines.storage.faults import storage_faults
from pipelines.storage.files import upload
from pipelines.storage.places import Place, is_local
from schemas.faults import with_retries

__all__ = [
    "child_names",
    "file_sizes",
    "has_folder",
    "has_object",
    "is_unfinished",
    "read_object",
    "sent_file",
]


def child_names(folder: Place) -> list[str]:
    """Return the names of what lies in ``folder``, sorted; none where there is no such folder."""
    with storage_faults(folder):
        try:
            if is_local(folder):
                return sorted(path.name for path in folder.iterdir())
            listed: list[str] = with_retries(
                lambda: folder.fs.ls(folder.path, detail=False), what=f"list {folder}"
            )
        except (FileNotFoundError, NotADirectoryError):
            return []
    names = {PurePosixPath(path).name for path in listed if _inside(folder, path)}
    return sorted(names)


def file_sizes(folder: Place) -> dict[str, int]:
    """Return the size in bytes of every file below ``folder``, by its path relative to it, sorted.

    Nothing where there is no such folder. In an object store it is one listing, however many files.
    """
    if is_local(folder):
        sizes = {}
        for path in folder.rglob("*"):
            try:
                if path.is_file():
                    sizes[path.relative_to(folder).as_posix()] = path.stat().st_size
            except FileNotFoundError:
                continue  # a temporary file that was renamed meanwhile
        return dict(sorted(sizes.items()))
    with storage_faults(folder):
        try:
            found: dict[str, dict[str, Any]] = with_retries(
                lambda: folder.fs.find(folder.path, detail=True), what=f"list {folder}"
            )
        except FileNotFoundError:
            return {}
    inside = {_inside(folder, path): int(info["size"]) for path, info in found.items()}
    return dict(sorted((name, size) for name, size in inside.items() if name))


def has_object(place: Place) -> bool:
    """Whether there is a file.

    Not ``is_file``, which takes an object store's fault for an answer.

    Raises:
        StorageError: if it cannot be told.
    """
    return _kind(place) == "file"


def has_folder(place: Place) -> bool:
    """Whether there is a folder; in an object store, anything below it.

    Raises:
        StorageError: if it cannot be told.
    """
    return _kind(place) == "directory"


def is_unfinished(name: str) -> bool:
    """Whether a path is that of a write under way, or of one that was killed: no object yet."""
    last = PurePosixPath(name).name
    return last.startswith(".") and last.endswith(".tmp")


def read_object(place: Place) -> bytes:
    """Return a small file whole.

    Raises:
        FileNotFoundError: if there is none.
        StorageError: if it cannot be had.
    """
    with storage_faults(place):
        if is_local(place):
            return place.read_bytes()
        data: bytes = with_retries(lambda: place.fs.cat_file(place.path), what=f"read {place}")
        return data


@contextmanager
def sent_file(place: Place) -> Iterator[Path]:
    """Yield a file of this machine to write: ``place`` itself, or one that is sent there then.

    For what one job leaves another. No folder is made: that of a version that was given up
    meanwhile must not come back.

    Raises:
        StorageError: if there is no room or no permission.
    """
    with storage_faults(place):
        if is_local(place):
            yield place
            return
        with TemporaryDirectory(prefix="primus-") as folder:
            file = Path(folder) / place.name
            yield file
            upload(file, place)


def _kind(place: Place) -> str | None:
    with storage_faults(place):
        if is_local(place):
            return "directory" if place.is_dir() else "file" if place.is_file() else None
        try:
            info: dict[str, Any] = with_retries(
                lambda: place.fs.info(place.path), what=f"look for {place}"
            )
        except (FileNotFoundError, NotADirectoryError):
            return None
    return str(info["type"])


def _inside(folder: Place, path: str) -> str:
    """Return a listed path relative to ``folder``; empty for the folder itself."""
    return path.removeprefix(str(folder.path)).strip("/") if not is_local(folder) else path
