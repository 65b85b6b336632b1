"""What goes wrong with storage: what may pass by itself is tried again, the rest is said in words.

A fault of the machine or the network says nothing about a take's data: it never puts a take into
quarantine.
"""

import errno
import logging
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from pipelines.storage.places import Place, is_local
from schemas.errors import StorageError

__all__ = ["is_transient", "storage_faults", "with_retries"]

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_ATTEMPTS: Final = 5
_FIRST_WAIT_S: Final = 0.2
_LONGEST_WAIT_S: Final = 10.0
_WITHIN_S: Final = 30.0
_PASSING: Final = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.EIO,
        errno.ENETUNREACH,
        errno.ENOTEMPTY,  # of a folder that somebody still wrote to while it was removed
        errno.EPIPE,
        errno.ESTALE,
        errno.ETIMEDOUT,
        # s3fs says so of InternalError.
        getattr(errno, "EREMOTEIO", errno.EIO),
    }
)
# Of libraries that are not always there, and are not imported to find out.
_PASSING_NAMES: Final = frozenset(
    {
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "EndpointConnectionError",
        "FSTimeoutError",
        "FlexibleChecksumError",  # an answer that was cut short
        "HTTPClientError",
        "IncompleteRead",
        "ReadTimeoutError",
        "ResponseParserError",
        "ResponseStreamingError",
        "ServerDisconnectedError",
    }
)
_NO_CREDENTIALS: Final = frozenset(
    {
        "CredentialRetrievalError",
        "DefaultCredentialsError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "RefreshError",
        "TokenRetrievalError",
    }
)
_PASSING_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})
_SAID: Final = {
    errno.ENOSPC: ("must have room", "free some, or name another place"),
    errno.EDQUOT: ("must have room within your quota", "free some, or ask for more"),
    errno.EFBIG: ("must allow files of this size", "raise the limit (ulimit -f) or name another"),
    errno.EROFS: ("must be writable, it is mounted read-only", "name another place"),
    errno.EACCES: ("must allow this user to read and write", "change its permissions"),
    errno.EPERM: ("must allow this user to read and write", "change its permissions"),
    errno.ENOTDIR: ("must lie in a folder, got a file above it", "name another place"),
    errno.EMFILE: ("must be opened, too many files are open", "raise the limit (ulimit -n)"),
}
# Of files of this machine: with an object store, of the copy on the way there.
_OF_A_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_WHERE: Final = "(store.uri, store.parts)"
_USER_INFO: Final = re.compile(r"://[^/@\s]+@")


def is_transient(error: BaseException) -> bool:
    """Whether a fault may be gone at the next attempt: of a disk, a network, a server."""
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return False
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    if isinstance(error, OSError) and error.errno in _PASSING:
        return True
    for said in (getattr(error, "status", None), getattr(error, "code", None)):
        # aiohttp's and gcsfs's errors carry the status of the answer.
        if isinstance(said, int | str) and str(said).isdigit() and int(said) in _PASSING_STATUS:
            return True
    return any(kind.__name__ in _PASSING_NAMES for kind in type(error).__mro__)


def with_retries(
    do: Callable[[], T],
    *,
    what: str,
    attempts: int = _ATTEMPTS,
    within_s: float = _WITHIN_S,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Return what ``do`` gives, tried again after faults that may pass, each time later.

    Args:
        do: may be called several times.
        what: is done, for the log.
        attempts: at most.
        within_s: seconds after the first attempt began; none begins later.
        wait: for so many seconds.
        clock: seconds, of which only differences count.

    Raises:
        Exception: what ``do`` raised last, or what will not pass.
    """
    began = clock()
    for attempt in range(1, attempts + 1):
        try:
            return do()
        except Exception as error:
            if attempt == attempts or not is_transient(error):
                raise
            # Spread out, so that workers which failed together do not come back together.
            longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt)
            pause = random.uniform(longest / 2, longest)
            if clock() - began + pause > within_s:
                raise
            _LOG.warning("%s: %s, again in %.1f s", what, _told(error), pause)
            wait(pause)
    raise AssertionError("attempts must be positive")


@contextmanager
def storage_faults(place: Place) -> Iterator[None]:
    """Turn what the user can mend about a place into one sentence that says how.

    Raises:
        StorageError: no room, no permission, no bucket, or a fault that outlasted every attempt.
    """
    try:
        yield
    except Exception as error:
        said = _sentence(place, error)
        if said is None:
            raise
        raise StorageError(said) from error


def _sentence(place: Place, error: Exception) -> str | None:
    if isinstance(error, StorageError):
        return None
    code = _server_code(error)
    if code == "NoSuchBucket":
        return f"{place} must lie in a bucket that exists: make it, or name another place {_WHERE}"
    if isinstance(error, FileNotFoundError):
        return None
    if any(kind.__name__ in _NO_CREDENTIALS for kind in type(error).__mro__):
        return (
            f"{place} needs credentials, got none that work: set them in the environment, such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, then run again"
        )
    if isinstance(error, PermissionError) and not is_local(place):
        return (
            f"{place} must allow these credentials to read and write, got {code or 'a refusal'}: "
            "give them the right, or set others in the environment, then run again"
        )
    number = error.errno if isinstance(error, OSError) else None
    if number is not None and number in _SAID:
        rule, way_out = _SAID[number]
        if number in _OF_A_DISK and not is_local(place):
            return (
                f"the folder for temporary files {tempfile.gettempdir()} {rule} for a copy of "
                f"{place}: free some, or set TMPDIR to another, then run again"
            )
        place_fields = f" {_WHERE}" if way_out.endswith(("place", "another")) else ""
        return f"{place} {rule}: {way_out}{place_fields}, then run again"
    if is_transient(error):
        return (
            f"{place} must answer, got {_told(error)}; run again once it does, finished work is "
            "kept"
        )
    if code is not None:
        return f"{place} must accept the request, got {code}: {_told(error)}"
    return None


def _server_code(error: BaseException) -> str | None:
    """Return the word for what is wrong that an S3 server sent, None without one."""
    told: BaseException | None = error
    while told is not None:
        response = getattr(told, "response", None)
        if isinstance(response, dict) and "Error" in response:
            return str(response["Error"].get("Code"))
        told = told.__cause__
    return None


def _told(error: BaseException) -> str:
    # An endpoint may be given with a password in its address.
    return f"{type(error).__name__}: {_USER_INFO.sub('://***@', str(error))[:200]}"
