"""A dataset in an object store, read through a folder of this machine with the same layout.

Readers list and open files of a folder. So every object of the listing has a file in the mirror
under its own relative path, at first a stand-in of a few words that no parser takes for data. What
says which takes there are is fetched when the catalogue is read, a take's own files when something
first asks for their path (:func:`pipelines.parts.keys.take_path`); these are stand-ins again once
the take is done. So the disk holds the metadata and the takes in work, however long the dataset.

Processes of one machine share a mirror: who works with a file holds a shared lock on it, and only
who gets it alone takes the file away. Locks lie in a folder of this machine, never on a share.
"""

import fcntl
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import Any, Final
from uuid import uuid4

from pipelines.storage.faults import storage_faults
from pipelines.storage.files import fetch
from pipelines.storage.places import RemotePlace, is_local, open_place
from schemas.errors import StorageError, TakeError, UsageError
from schemas.faults import with_retries

__all__ = ["Mirror", "ensure_file", "file_etag", "file_size", "held_files", "open_mirror"]

_SMALL_BYTES: Final = 32 << 20
"""Files that the catalogue asked for and that are smaller stay for the takes."""

_STAND_IN: Final = b"primus: not fetched from the object store yet\n"
_FIELD: Final = "dataset.root"
_SCRATCH: Final = "execution.scratch"
_TAGS: Final = ("ETag", "etag", "md5Hash", "LastModified", "created", "mtime")
_MIRRORS: Final[dict[Path, "Mirror"]] = {}
_MIRRORS_LOCK: Final = Lock()
_HELD: ContextVar["dict[tuple[Path, str], int] | None"] = ContextVar("held_files", default=None)


@dataclass(frozen=True, slots=True)
class _Listed:
    size: int
    tag: str


class Mirror:
    """The folder that stands for a dataset in an object store."""

    def __init__(self, uri: str, *, root: Path) -> None:
        place = open_place(uri)
        if is_local(place):
            raise ValueError(f"a mirror must be of an object store, got {uri}")
        self.uri = uri
        self.root = root
        self._place: RemotePlace = place
        self._listed: Mapping[str, _Listed] = {}
        self._loose: dict[str, int] = {}
        self._loose_lock = Lock()

    def refresh(self, patterns: Sequence[str]) -> None:
        """List the object store anew, and fetch the files that match any of ``patterns``.

        Raises:
            UsageError: if there is nothing, or an object's name would not stay in the mirror.
            StorageError: if the object store does not answer or may not be read.
        """
        for folder in (self.root.parent, self.root, self._locks, self._incoming):
            _make_private(folder)
        self._listed = self._list()
        if not self._listed:
            raise UsageError(f"dataset.root must hold files, got none in {self.uri}")
        with self._disk_faults():
            self._forget_unlisted()
            for relative, listed in self._listed.items():
                self._stand_in(relative)
                there = (self.root / relative).stat().st_size
                if there == listed.size >= _SMALL_BYTES:
                    # Of a process that was killed, unless somebody holds it.
                    self._take_away(relative)
        wanted = {
            path.relative_to(self.root).as_posix()
            for pattern in patterns
            for path in self.root.glob(pattern)
            if path.is_file()
        }
        for relative in sorted(wanted):
            descriptor = self.hold(relative)
            os.close(descriptor)

    def size(self, relative: str) -> int | None:
        """Return the size of a file as listed, None where there is no such file."""
        listed = self._listed.get(relative)
        return listed.size if listed is not None else None

    def etag(self, relative: str) -> str | None:
        """Return a file's entity tag as listed, None where there is no such file or tag."""
        listed = self._listed.get(relative)
        return (listed.tag.rpartition(":")[0].strip('"') or None) if listed is not None else None

    def hold(self, relative: str) -> int:
        """Fetch a file unless it is there, and keep it there until the descriptor is closed.

        Raises:
            TakeError: ``file_missing`` if it is not in the object store.
            StorageError: if it cannot be had whole, or was replaced since it was listed.
        """
        listed = self._listed.get(relative)
        if listed is None:
            raise TakeError("file_missing", f"file must exist, got {relative}")
        with self._disk_faults():
            descriptor = os.open(self._lock_path(relative), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if not self._is_fetched(relative, listed, descriptor):
                self._fetch(relative, listed)
                with self._disk_faults():
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, listed.tag.encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def hold_loose(self, relative: str) -> None:
        """Hold a file until :meth:`release_loose`."""
        with self._loose_lock:
            if relative in self._loose:
                return
        descriptor = self.hold(relative)
        with self._loose_lock:
            before = self._loose.setdefault(relative, descriptor)
        if before != descriptor:
            os.close(descriptor)

    def release_loose(self) -> None:
        """Let go of what was held loosely; large files go, small ones stay for the takes."""
        with self._loose_lock:
            loose, self._loose = self._loose, {}
        for relative, descriptor in loose.items():
            os.close(descriptor)
            if (self.size(relative) or 0) >= _SMALL_BYTES:
                self._take_away(relative)

    def release(self, relative: str, descriptor: int) -> None:
        """Let go of a held file; it is a stand-in again unless somebody else holds it."""
        os.close(descriptor)
        self._take_away(relative)

    @property
    def _locks(self) -> Path:
        return self.root.parent / "locks"

    @property
    def _incoming(self) -> Path:
        return self.root.parent / "incoming"

    def _disk_faults(self) -> AbstractContextManager[None]:
        return storage_faults(self.root, fields=_SCRATCH)

    def _lock_path(self, relative: str) -> Path:
        return self._locks / sha256(relative.encode()).hexdigest()

    def _list(self) -> dict[str, _Listed]:
        place = self._place
        try:
            with storage_faults(place, fields=_FIELD):
                found: dict[str, dict[str, Any]] = with_retries(
                    lambda: place.fs.find(place.path, detail=True), what=f"list {place}"
                )
        except FileNotFoundError:
            found = {}
        prefix = place.path.rstrip("/") + "/"
        listed: dict[str, _Listed] = {}
        for name, info in found.items():
            relative = name.removeprefix(prefix)
            if relative.endswith("/") or not name.startswith(prefix):
                # What some tools leave in place of a folder, and the root's own name.
                continue
            _check_name(relative, uri=self.uri)
            listed[relative] = _Listed(size=int(info["size"] or 0), tag=_tag(info))
        return listed

    def _forget_unlisted(self) -> None:
        for folder, below, names in os.walk(self.root, followlinks=False):
            for name in (*names, *below):
                path = Path(folder, name)
                relative = path.relative_to(self.root).as_posix()
                if path.is_symlink() or (name in names and relative not in self._listed):
                    path.unlink(missing_ok=True)
        for path in self._incoming.iterdir():
            # Of a process that was killed, if nobody holds what it was fetching.
            with self._alone(self._locks / path.name.partition(".")[0]) as alone:
                if alone:
                    path.unlink(missing_ok=True)

    def _stand_in(self, relative: str) -> None:
        path = self.root / relative
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(_STAND_IN)
        except FileExistsError as error:
            if path.is_file():
                return
            raise _no_folder(relative, uri=self.uri) from error
        except NotADirectoryError as error:
            raise _no_folder(relative, uri=self.uri) from error

    def _is_fetched(self, relative: str, listed: _Listed, descriptor: int) -> bool:
        tag = os.pread(descriptor, 1 << 12, 0)
        path = self.root / relative
        return tag == listed.tag.encode() and path.is_file() and path.stat().st_size == listed.size

    def _fetch(self, relative: str, listed: _Listed) -> None:
        place = self._place / relative
        # Out of the tree: a reader that lists it must not take half a file for one.
        temporary = self._incoming / f"{self._lock_path(relative).name}.{uuid4().hex}"
        try:
            try:
                fetch(
                    place,
                    temporary,
                    size=listed.size,
                    fields=_FIELD,
                    copies=self.root.parent,
                    copies_field=_SCRATCH,
                )
            except FileNotFoundError as error:
                raise TakeError("file_missing", f"file must exist, got {relative}") from error
            except StorageError:
                # Another size looks like an answer that was cut short.
                self._check_same(place, listed)
                raise
            self._check_same(place, listed)
            temporary.replace(self.root / relative)
        finally:
            temporary.unlink(missing_ok=True)

    def _check_same(self, place: RemotePlace, listed: _Listed) -> None:
        with storage_faults(place, fields=_FIELD):
            now = with_retries(lambda: place.fs.info(place.path), what=f"read {place}")
        if _tag(now) != listed.tag:
            raise StorageError(
                f"{place} must stay as it was when the run began, got another object: run again "
                "once nobody writes there"
            )

    def _take_away(self, relative: str) -> None:
        lock = self._lock_path(relative)
        with self._alone(lock) as alone:
            if not alone:
                return
            temporary = self._incoming / f"{lock.name}.{uuid4().hex}"
            with self._disk_faults():
                lock.write_bytes(b"")
                temporary.write_bytes(_STAND_IN)
                temporary.replace(self.root / relative)

    @contextmanager
    def _alone(self, lock: Path) -> Iterator[bool]:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)


def open_mirror(uri: str, *, root: Path) -> Mirror:
    """Return this process's mirror of ``uri`` in ``root``; nothing is read there yet."""
    with _MIRRORS_LOCK:
        return _MIRRORS.setdefault(root, Mirror(uri, root=root))


def ensure_file(root: Path, path: Path) -> None:
    """Fetch a file if ``root`` is a mirror; it stays until the files held here are released.

    Args:
        root: dataset folder.
        path: of a file in it.

    Raises:
        TakeError: ``file_missing`` if it is not in the object store.
        StorageError: if it cannot be had whole.
    """
    mirror = _MIRRORS.get(root)
    if mirror is None:
        return
    relative = _relative(root, path)
    held = _HELD.get()
    if held is None:
        mirror.hold_loose(relative)
    elif (root, relative) not in held:
        held[root, relative] = mirror.hold(relative)


def file_size(root: Path, path: Path) -> int:
    """Return the size of a dataset's file, fetched or not.

    Args:
        root: dataset folder.
        path: of a file in it.
    """
    mirror = _MIRRORS.get(root)
    size = mirror.size(_relative(root, path)) if mirror is not None else None
    return path.stat().st_size if size is None else size


def file_etag(root: Path, relative: str) -> str | None:
    """Return the entity tag that a dataset's file had in its object store; None on a disk.

    Args:
        root: dataset folder.
        relative: path of the file in it, with forward slashes.
    """
    mirror = _MIRRORS.get(root)
    return mirror.etag(relative) if mirror is not None else None


@contextmanager
def held_files(root: Path) -> Iterator[None]:
    """Keep what is fetched from here on until the end, and only until then.

    Without a mirror at ``root``, and inside another one, nothing happens.
    """
    mirror = _MIRRORS.get(root)
    if mirror is None or _HELD.get() is not None:
        yield
        return
    held: dict[tuple[Path, str], int] = {}
    token = _HELD.set(held)
    try:
        yield
    finally:
        _HELD.reset(token)
        with ExitStack() as stack:
            for (_, relative), descriptor in held.items():
                stack.callback(mirror.release, relative, descriptor)


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root if path.is_relative_to(root) else root.resolve()).as_posix()


def _tag(info: Mapping[str, Any]) -> str:
    # One of them: a listing and a single answer may tell times to different digits.
    told = next((info[name] for name in _TAGS if info.get(name)), "")
    stamp = told.timestamp() if isinstance(told, datetime) else told
    return f"{stamp}:{info['size']}"


def _check_name(relative: str, *, uri: str) -> None:
    parts = relative.split("/")
    if (
        PurePosixPath(relative).is_absolute()
        or any(part in ("", ".", "..") for part in parts)
        or "\0" in relative
    ):
        raise UsageError(
            f"objects of dataset.root must have names that are relative paths, got {relative!a} "
            f"[{uri}]"
        )


def _no_folder(relative: str, *, uri: str) -> UsageError:
    return UsageError(
        f"objects of dataset.root must be files or folders, got one that is both at {relative!a} "
        f"[{uri}]"
    )


def _make_private(folder: Path) -> None:
    """Make a folder that nobody else can write to; one that is there must be such.

    Raises:
        StorageError: if somebody else's lies there, or it cannot be made.
    """
    with storage_faults(folder, fields=_SCRATCH):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise StorageError(
            f"{folder} must be a folder of this user alone: set execution.scratch to another place"
        )
