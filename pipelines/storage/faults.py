"""What goes wrong with storage and stays, said in words.

A fault of the machine or the network says nothing about a take's data: it never puts a take into
quarantine.
"""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from pipelines.storage.places import Place, is_local
from schemas.errors import StorageError
from schemas.faults import NO_CREDENTIALS, is_transient, tell_fault

__all__ = ["STORE_FIELDS", "TEMPORARY_FIELD", "storage_faults", "temporary_faults"]

STORE_FIELDS: Final = "store.uri, store.parts"
"""Fields of the config that name the place of a store."""

TEMPORARY_FIELD: Final = "TMPDIR"
"""What moves the folder for temporary files: a variable of the environment."""

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


@contextmanager
def storage_faults(
    place: Place,
    *,
    fields: str = STORE_FIELDS,
    copies: Path | None = None,
    copies_field: str = TEMPORARY_FIELD,
) -> Iterator[None]:
    """Turn what the user can mend about a place into one sentence that says how.

    Args:
        place: that is read or written.
        fields: of the config that name it, for the sentence.
        copies: folder of this machine that objects of ``place`` are copied to, if it is an object
            store; default the one for temporary files.
        copies_field: what moves that folder.

    Raises:
        StorageError: no room, no permission, no bucket, or a fault that outlasted every attempt.
    """
    try:
        yield
    except Exception as error:
        said: str | None = None
        if not is_local(place):
            folder = copies if copies is not None else Path(tempfile.gettempdir())
            said = _sentence_of_copies(place, error, folder=folder, field=copies_field)
        said = said or _sentence(place, error, where=f"({fields})")
        if said is None:
            raise
        raise StorageError(said) from error


def temporary_faults() -> AbstractContextManager[None]:
    """Do as ``storage_faults`` for the folder for temporary files."""
    return storage_faults(Path(tempfile.gettempdir()), fields=TEMPORARY_FIELD)


def _sentence_of_copies(place: Place, error: Exception, *, folder: Path, field: str) -> str | None:
    number = error.errno if isinstance(error, OSError) else None
    if number is None or number not in _OF_A_DISK:
        return None
    return (
        f"the folder for temporary files {folder} {_SAID[number][0]} for a copy of {place}: free "
        f"some, or set {field} to another, then run again"
    )


def _sentence(place: Place, error: Exception, *, where: str) -> str | None:
    if isinstance(error, StorageError):
        return None
    code = _server_code(error)
    if code == "NoSuchBucket":
        return f"{place} must lie in a bucket that exists: make it, or name another place {where}"
    if isinstance(error, FileNotFoundError):
        return None
    if any(kind.__name__ in NO_CREDENTIALS for kind in type(error).__mro__):
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
        place_fields = f" {where}" if way_out.endswith(("place", "another")) else ""
        return f"{place} {rule}: {way_out}{place_fields}, then run again"
    if is_transient(error):
        return (
            f"{place} must answer, got {tell_fault(error)}; run again once it does, finished work "
            "is kept"
        )
    if code is not None:
        return f"{place} must accept the request, got {code}: {tell_fault(error)}"
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
