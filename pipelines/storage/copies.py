"""Copies of objects on this machine, kept for a while: what is read several times is fetched once.

A copy counts as long as the object has the same size and tag, so one that was replaced or removed
meanwhile is never read from here.
"""

import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final
from uuid import uuid4

from pipelines.storage.faults import storage_faults
from pipelines.storage.files import fetch
from pipelines.storage.places import Place, RemotePlace, is_local
from schemas.faults import with_retries

__all__ = ["KEPT_BYTES", "CopyShelf", "kept_copy"]

KEPT_BYTES: Final = 1 << 30
"""Of one process, beside those in use."""

_TAGS: Final = ("ETag", "etag", "md5Hash", "LastModified", "created", "mtime")


@dataclass(slots=True)
class _Copy:
    path: Path
    tag: str
    size: int
    readers: int = 0


class CopyShelf:
    """Copies of objects in a folder of its own; those read longest ago go first."""

    def __init__(self, *, max_bytes: int = KEPT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @contextmanager
    def open(self, place: RemotePlace) -> Iterator[Path]:
        """Yield a file that holds what the object does now; it is there until the end.

        Raises:
            FileNotFoundError: if there is no such object.
            StorageError: if it cannot be had whole.
        """
        with storage_faults(place):
            info: dict[str, Any] = with_retries(
                lambda: place.fs.info(place.path), what=f"read {place}"
            )
        tag = ":".join(str(info.get(name, "")) for name in ("size", *_TAGS))
        copy = self._find(str(place), tag)
        if copy is None:
            copy = self._add(place, tag, size=int(info["size"]))
        try:
            yield copy.path
        finally:
            with self._lock:
                copy.readers -= 1
                self._tidy()

    @property
    def kept_bytes(self) -> int:
        """Bytes of all copies that are on this machine now."""
        with self._lock:
            return sum(copy.size for copy in self._copies.values())

    def _find(self, name: str, tag: str) -> _Copy | None:
        with self._lock:
            copy = self._copies.get(name)
            if copy is None or copy.tag != tag:
                return None
            copy.readers += 1
            self._copies.move_to_end(name)
            return copy

    def _add(self, place: RemotePlace, tag: str, *, size: int) -> _Copy:
        with self._lock, storage_faults(place):
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="primus-copies-")
            path = Path(self._folder.name) / uuid4().hex
        fetch(place, path, size=size)
        copy = _Copy(path=path, tag=tag, size=size, readers=1)
        with self._lock:
            before = self._copies.pop(str(place), None)
            if before is not None:
                # Under a name of its own, until nobody reads it any more.
                self._copies[before.path.name] = before
                self._copies.move_to_end(before.path.name, last=False)
            self._copies[str(place)] = copy
            self._tidy()
        return copy

    def _tidy(self) -> None:
        held = sum(copy.size for copy in self._copies.values())
        for name, copy in list(self._copies.items()):
            if copy.readers or (held <= self._max_bytes and name != copy.path.name):
                continue
            copy.path.unlink(missing_ok=True)
            held -= copy.size
            del self._copies[name]


_SHELF: Final = CopyShelf()


@contextmanager
def kept_copy(place: Place) -> Iterator[Path]:
    """Yield a file of this machine that holds what ``place`` does: itself, or a kept copy.

    Raises:
        FileNotFoundError: if there is nothing.
        StorageError: if it cannot be had whole.
    """
    if is_local(place):
        yield place
        return
    with _SHELF.open(place) as copy:
        yield copy
