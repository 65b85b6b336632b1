"""A store's place: a folder of this machine, or any URI that fsspec knows."""

import errno
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import unquote, urlsplit

import fsspec
from upath import UPath

from schemas.errors import PrimusError, StorageError, UsageError

__all__ = ["PassingError", "Place", "ask", "open_root", "read_whole"]

Place: TypeAlias = Path | UPath
"""A plain path on this machine, else a remote one of the same methods."""

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = 5
_FIRST_WAIT_S: Final = 0.2
# Others write there too: what was listed before says nothing about now.
_OPTIONS: Final[dict[str, Any]] = {"use_listings_cache": False}
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
_NETWORK: Final = frozenset({"aiobotocore", "aiohttp", "botocore", "fsspec", "gcsfs", "urllib3"})
"""Libraries whose errors, where they are none of the system's, tell of a network or a server."""
_NO_KEY: Final = frozenset(
    {"NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError"}
)
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
    if "://" not in uri:
        return Path(uri)
    parts = urlsplit(uri)
    if parts.scheme in {"file", "local"}:
        return Path(unquote(parts.path))
    if "@" in parts.netloc or parts.query:
        raise UsageError(
            f"store must be a URI without credentials or query, got some in {parts.scheme}://...: "
            "set them in the environment"
        )
    try:
        fsspec.get_filesystem_class(parts.scheme)
    except ImportError as error:
        extra = _EXTRAS.get(parts.scheme)
        way_out = f": pip install 'primus-pipelines[{extra}]'" if extra is not None else ""
        raise UsageError(
            f"{parts.scheme}:// needs a package that is not installed{way_out}"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"store must be a folder or a URI of a kind that fsspec knows, such as s3:// or "
            f"gs://, got {uri!r}"
        ) from error
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
    for attempt in range(1, attempts + 1):
        try:
            return do()
        except (FileNotFoundError, NotADirectoryError, PrimusError):
            raise
        except Exception as error:
            final = _final_fault(error, place=place)
            if final is not None:
                raise final from error
            if not _may_pass(error):
                raise
            if attempt == attempts:
                if isinstance(error, PassingError):
                    raise
                raise StorageError(
                    f"{place} must answer, got {type(error).__name__}: {error!s:.200}; run again "
                    "once it does, what was fetched is kept"
                ) from error
            longest = _FIRST_WAIT_S * 2**attempt
            # Spread out, so that ranks which failed together do not come back together.
            pause = random.uniform(longest / 2, longest)
            _LOG.warning("read %s: %s, again in %.1f s", place, error, pause)
            wait(pause)
    raise AssertionError("attempts must be positive")


def _may_pass(error: Exception) -> bool:
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or library in _NETWORK


def _final_fault(error: Exception, *, place: Place) -> StorageError | None:
    """Return the sentence of a fault that no waiting mends, None for any other."""
    if type(error).__name__ in _NO_KEY:
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
