"""Faults of reading a take's files: what may pass is tried again, and only then told.

Readers say in their own words what they could not read, so that the cause is looked for beneath
them. A share that does not answer is no fault of the recording: the take is quarantined under a
reason of its own, so that the night goes on and ``retry`` mends it.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from pipelines.storage.faults import storage_faults
from pipelines.storage.places import Place
from schemas.errors import StorageError, TakeError
from schemas.faults import is_transient, with_retries

__all__ = ["SOURCE_UNREADABLE", "raise_machine_fault", "read_with_retries", "told_fault"]

T = TypeVar("T")

SOURCE_UNREADABLE: Final = "source_unreadable"
"""A take's files are there, and the machine could not read them."""

_BLOCK: Final = 1 << 20
# Of whatever was written while a take was prepared, scratch files included: sources are only read.
_WRITING: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_NO_FAULTS_OF_DATA: Final = (PermissionError,)


class _PassingError(OSError):
    """Carries what a reader raised to where it is tried again."""

    def __init__(self, fault: Exception) -> None:
        super().__init__(errno.EIO, str(fault))
        self.fault = fault


def read_with_retries(
    do: Callable[[], T], *, what: str, wait: Callable[[float], None], passes: tuple[type, ...] = ()
) -> T:
    """Return what ``do`` gives; after a fault of reading that may pass it is called again.

    Args:
        do: reads a take's files; safe to repeat.
        what: is read, for the log.
        wait: for so many seconds.
        passes: errors that are handed on whatever caused them.

    Raises:
        Exception: what ``do`` raised, at last.
    """

    def attempt() -> T:
        try:
            return do()
        except Exception as error:
            if isinstance(error, passes) or _transient(error) is None:
                raise
            raise _PassingError(error) from error

    try:
        return with_retries(attempt, what=what, wait=wait)
    except _PassingError as error:
        fault = error.fault
    # Out here, so that it keeps the cause it was raised with.
    raise fault


def told_fault(error: Exception, *, files: Iterable[Path]) -> TakeError | None:
    """Return the fault of a take whose files the machine could not read; None where it could.

    Args:
        error: that reading ended in, after every attempt.
        files: of the take.
    """
    cause = _transient(error)
    if cause is None:
        denied = next((e for e in _causes(error) if isinstance(e, _NO_FAULTS_OF_DATA)), None)
        if denied is None:
            return None
        return _unreadable(denied)
    # libav says input/output error of broken files too: the files themselves tell.
    by_codec = type(cause).__module__.partition(".")[0] == "av"
    if by_codec and all(_can_be_read(path) for path in files):
        return None
    return _unreadable(cause)


def raise_machine_fault(error: BaseException, *, place: Place) -> None:
    """Raise what says that something could not be written; return where nothing does.

    Args:
        error: that preparing a take ended in.
        place: to name where the error names none.

    Raises:
        StorageError: no room, a file too large, or a place that is read-only: no fault of a take.
    """
    for cause in _causes(error):
        if isinstance(cause, StorageError):
            raise cause
        if isinstance(cause, OSError) and cause.errno in _WRITING:
            named = cause.filename if isinstance(cause.filename, str) else None
            with storage_faults(Path(named).parent if named else place):
                raise cause


def _unreadable(cause: BaseException) -> TakeError:
    said = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return TakeError(
        SOURCE_UNREADABLE,
        f"files must be readable, got {type(cause).__name__}: {said:.200}; once they are, "
        f"primus-prep retry --reason {SOURCE_UNREADABLE}",
    )


def _transient(error: BaseException) -> BaseException | None:
    return next((e for e in _causes(error) if is_transient(e)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    # Only what was said to be the cause: an error met while another one was handled says nothing.
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _can_be_read(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            while file.read(_BLOCK):
                pass
    except OSError:
        return False
    return True
