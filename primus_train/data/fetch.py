"""Versions and masks of a remote store on this machine: fetched once, checked, shared by all.

The cache is itself a store, without tags: ``<cache>/stores/versions/<id>/...``. An object appears
there under its name only once its size and digest are right, and the manifest only after all
objects: a fetch that was killed goes on where it stopped, and no reader sees a part of a version.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from upath import UPath

from primus_train.data.places import PassingError, ask, read_whole
from primus_train.files import file_sha256, write_atomic
from schemas.errors import StorageError, StoreDamagedError, StoreNotFoundError
from schemas.manifest import Manifest, ObjectEntry
from schemas.mask import MaskRecord
from schemas.store import MANIFEST, RUN, mask_path, version_path

__all__ = ["CACHE", "OnFetch", "cached_store", "fetch_mask", "fetch_version", "is_fetched"]

CACHE: Final = "PRIMUS_CACHE"
"""Environment variable that names the cache's folder."""

OnFetch = Callable[[int, int], None]
"""Told how many bytes of a version are on this machine, and of how many."""

_THREADS: Final = 8
_POLL_S: Final = 0.2


def cache_root() -> Path:
    """Return the cache's folder: PRIMUS_CACHE, else ``primus`` in the user's own cache."""
    named = os.environ.get(CACHE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "primus"


def cached_store() -> Path:
    """Return the folder that holds fetched versions: a store of its own."""
    return cache_root() / "stores"


def is_fetched(version: str) -> bool:
    """Whether a version is in the cache, whole by its objects' sizes when it was fetched."""
    return (cached_store() / version_path(version, MANIFEST)).is_file()


def fetch_version(
    store: UPath,
    version: str,
    *,
    manifest: Manifest,
    recheck: bool = False,
    on_fetch: OnFetch | None = None,
) -> None:
    """Bring a version into the cache, or what is missing there of it.

    Several processes may do so at once: one fetches, the others wait for it.

    Args:
        store: the remote store.
        version: id of the version.
        manifest: its manifest, already found to be the one of that id.
        recheck: also compare digests of what is there; without, sizes alone.
        on_fetch: told after each object.

    Raises:
        StoreDamagedError: if an object is missing or is not what the manifest says.
        StorageError: if the store does not answer, or the cache has no room.
    """
    source, target = store / version_path(version), cached_store() / version_path(version)
    with _turn(version) as alone:
        ask(lambda: target.mkdir(parents=True, exist_ok=True), place=target)
        if alone:
            for left in target.rglob(".*.tmp"):  # of a process that was killed
                left.unlink(missing_ok=True)
        wanted = [e for e in manifest.objects if not _is_there(target, e, recheck=recheck)]
        _fetch_objects(source, target, wanted, objects=manifest.objects, on_fetch=on_fetch)
        for name in (RUN, MANIFEST):
            if recheck or not (target / name).is_file():
                _copy_small(source / name, target / name)


def _copy_small(source: UPath, target: Path) -> None:
    try:
        data = read_whole(source)
    except FileNotFoundError:
        # The run record is no part of the version; a manifest was there a moment ago.
        if target.name == MANIFEST:
            raise StoreDamagedError(f"object must exist, none found [{source}]") from None
        return
    ask(lambda: write_atomic(target, data), place=target)


def _fetch_objects(
    source: UPath,
    target: Path,
    wanted: Sequence[ObjectEntry],
    *,
    objects: Sequence[ObjectEntry],
    on_fetch: OnFetch | None,
) -> None:
    missing, total = sum(e.size for e in wanted), sum(e.size for e in objects)
    free = shutil.disk_usage(target).free
    if missing > free:
        raise StorageError(
            f"{target} must have room for {missing} bytes, got {free}: free some, or set {CACHE} "
            "to another place"
        )
    done = total - missing
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        tasks = {
            pool.submit(
                _fetch_object, source / e.path, target / e.path, size=e.size, sha256=e.sha256
            ): e.size
            for e in wanted
        }
        try:
            for task in as_completed(tasks):
                task.result()
                done += tasks[task]
                if on_fetch is not None:
                    on_fetch(done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def fetch_mask(store: UPath, record: MaskRecord) -> Path:
    """Return a mask's table on this machine; masks are kept by their digest, whatever their name.

    Raises:
        StoreNotFoundError: if the store has no table of the mask.
        StoreDamagedError: if it does not match its record.
        StorageError: if it cannot be had.
    """
    target = cache_root() / "masks" / f"{record.sha256}.parquet"
    if target.is_file() and file_sha256(target) == record.sha256:
        return target
    source = store / mask_path(record.version, record.spec.name, "parquet")
    _fetch_object(source, target, size=None, sha256=record.sha256)
    return target


def _fetch_object(source: UPath, target: Path, *, size: int | None, sha256: str) -> None:
    """Copy an object; it appears once its size and digest are right."""

    def once() -> None:
        # Asked for first: what is too long is not fetched to find that out.
        expected = source.fs.info(source.path)["size"]
        if size is not None and expected not in {size, None}:
            raise StoreDamagedError(f"object must have {size} bytes, got {expected} [{source}]")
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid4().hex}.tmp")
        try:
            source.fs.get_file(source.path, str(temporary))
            got = temporary.stat().st_size
            if expected is not None and got != expected:
                raise PassingError(f"must have {expected} bytes, got {got}")
            digest = file_sha256(temporary)
            if digest != sha256:
                raise PassingError(f"must have SHA-256 {sha256}, got {digest}")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    try:
        ask(once, place=source)
    except PassingError as error:
        raise StoreDamagedError(
            f"object {error} at every attempt: run `primus-prep store verify` [{source}]"
        ) from error
    except FileNotFoundError as error:
        if size is None:
            raise StoreNotFoundError(f"mask must have a table, none found [{source}]") from error
        raise StoreDamagedError(f"object must exist, none found [{source}]") from error


def _is_there(folder: Path, entry: ObjectEntry, *, recheck: bool) -> bool:
    path = folder / entry.path
    if not path.is_file() or path.stat().st_size != entry.size:
        return False
    return not recheck or file_sha256(path) == entry.sha256


@contextmanager
def _turn(version: str) -> Iterator[bool]:
    """Let one process of this machine at a time fetch a version; the system ends a dead one's turn.

    Yields whether nobody else fetches it: where a file system knows no locks all may, and the same
    bytes are fetched twice.
    """
    path = cache_root() / "locks" / version
    ask(lambda: path.parent.mkdir(parents=True, exist_ok=True), place=path)
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    with ask(lambda: path.open("w"), place=path) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_POLL_S)
                continue
            except OSError:
                yield False
            else:
                yield True
            return
