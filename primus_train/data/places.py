"""A store's place: a folder of this machine, or any URI that fsspec knows."""

import errno
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import fsspec
from upath import UPath

from schemas.errors import PrimusError, StorageError
from schemas.faults import NO_CREDENTIALS, is_transient, tell_fault, with_retries
from schemas.uris import check_uri, local_path

__all__ = ["PassingError", "Place", "ask", "open_root", "read_whole"]

Place: TypeAlias = Path | UPath
"""A plain path on this machine, else a remote one of the same methods."""

T = TypeVar("T")

_ATTEMPTS: Final = 5
# Others write there too: what was listed before says nothing about now.
_OPTIONS: Final[dict[str, Any]] = {"use_listings_cache": False}
_NETWORK: Final = frozenset({"aiobotocore", "aiohttp", "botocore", "fsspec", "gcsfs", "urllib3"})
"""Libraries whose errors, where they are none of the system's, tell of a network or a server."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class PassingError(ConnectionError):
    """What came is not what was sent: a transfer ended early."""


def open_root(uri: str) -> Place:
    """Return the place of a store; nothing is read there yet.

    Credentials and endpoints of remote ones come from the environment alone.

    Raises:
        UsageError: if the URI holds credentials or a query, or is of a kind that is unknown or not
            installed.
    """
    check_uri(uri, find_kind=fsspec.get_filesystem_class, name="store")
    here = local_path(uri)
    if here is not None:
        return here
    place: UPath = UPath(uri, **_OPTIONS)
    return place


def ask(
    do: Callable[[], T],
    *,
    place: Place,
    attempts: int = _ATTEMPTS,
    wait: Callable[[float], None] = time.sleep,
) -> T:
    """Return what ``do`` gets from a remote place, asked again after faults that may pass.

    Args:
        do: only reads the place, so may be called several times.
        place: for the sentence.
        attempts: at most.
        wait: for so many seconds.

    Raises:
        FileNotFoundError: if nothing is there.
        NotADirectoryError: if no folder is there.
        PassingError: if every transfer ended early.
        StorageError: if the place does not answer or allow it, or this machine has no room.
    """
    try:
        # However long an attempt takes: over a slow line a chunk needs minutes.
        return with_retries(
            do, what=f"read {place}", attempts=attempts, within_s=math.inf, wait=wait
        )
    except (FileNotFoundError, NotADirectoryError, PrimusError):
        raise
    except Exception as error:
        final = _final_fault(error, place=place)
        if final is not None:
            raise final from error
        if isinstance(error, PassingError) or not _is_of_storage(error):
            raise
        raise StorageError(
            f"{place} must answer, got {tell_fault(error)}; run again once it does, what was "
            "fetched is kept"
        ) from error


def _is_of_storage(error: Exception) -> bool:
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library in _NETWORK or is_transient(error)


def _final_fault(error: Exception, *, place: Place) -> StorageError | None:
    """Return the sentence of a fault that no waiting mends, None for any other."""
    if any(kind.__name__ in NO_CREDENTIALS for kind in type(error).__mro__):
        return StorageError(f"{place} must be readable: set credentials in the environment")
    if not isinstance(error, OSError):
        return None
    # Only the system names a file: then it is the copy on this machine that cannot be written.
    here = error.filename
    if error.errno in _FULL:
        return StorageError(
            f"{here or 'cache'} must have room: free some, or set PRIMUS_CACHE to another place"
        )
    if error.errno in _REFUSED or isinstance(error, PermissionError):
        if isinstance(here, str | Path):
            return StorageError(f"{here} must be writable: set PRIMUS_CACHE to another place")
        return StorageError(
            f"{place} must allow reading with the credentials of the environment, got "
            f"{error!s:.200}"
        )
    return None


def read_whole(place: Place) -> bytes:
    """Return all bytes of a small file, and never fewer.

    Raises:
        FileNotFoundError: if there is none.
        StorageError: if it cannot be had.
    """
    if isinstance(place, Path):
        return place.read_bytes()

    def once() -> bytes:
        size = place.fs.info(place.path)["size"]
        data: bytes = place.fs.cat_file(place.path)
        if size is not None and len(data) != size:
            raise PassingError(f"object must have {size} bytes, got {len(data)}")
        return data

    try:
        return ask(once, place=place)
    except PassingError as error:
        raise StorageError(f"{place} must be sent whole: {error}; run again") from error
