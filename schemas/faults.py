"""Which faults of a disk, a network or a server may be gone at the next attempt, and that attempt.

Writers and readers of stores wait alike; what they say of a fault that stays is their own.
"""

import errno
import logging
import random
import re
import time
from collections.abc import Callable
from typing import Final, TypeVar

__all__ = ["NO_CREDENTIALS", "is_transient", "tell_fault", "with_retries"]

T = TypeVar("T")

# Of libraries that are not always there, and are not imported to find out.
NO_CREDENTIALS: Final = frozenset(
    {
        "CredentialRetrievalError",
        "DefaultCredentialsError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "RefreshError",
        "TokenRetrievalError",
    }
)
"""Names of the errors that object stores' libraries raise where the environment has no key."""

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
_PASSING_STATUS: Final = frozenset({408, 429, 500, 502, 503, 504})
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
            # Spread out, so that processes which failed together do not come back together.
            longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt)
            pause = random.uniform(longest / 2, longest)
            if clock() - began + pause > within_s:
                raise
            _LOG.warning("%s: %s, again in %.1f s", what, tell_fault(error), pause)
            wait(pause)
    raise AssertionError("attempts must be positive")


def tell_fault(error: BaseException) -> str:
    """Return an error as text, at most 200 characters of what it says, without a password."""
    # An endpoint may be given with a password in its address.
    return f"{type(error).__name__}: {_USER_INFO.sub('://***@', str(error))[:200]}"
