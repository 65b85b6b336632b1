"""A folder that a publisher works in: no reader looks at it, and its age tells whether it lives."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final
from uuid import uuid4

from pipelines.storage.faults import storage_faults
from pipelines.storage.files import remove_folder, write_atomic
from pipelines.storage.places import Place, is_local
from schemas.errors import StorageError

__all__ = ["ALIVE", "BEAT_S", "HIDDEN_PREFIX", "hidden_folder"]

HIDDEN_PREFIX: Final = ".tmp-"
"""Of the folders under ``versions/`` that are no version."""

ALIVE: Final = "alive"
"""Empty file in a hidden folder, written anew as long as its publisher lives."""

BEAT_S: Final = 60.0
"""Seconds from one writing of it to the next."""

_LOG: Final = logging.getLogger(__name__)


@contextmanager
def hidden_folder(store: Place, *, beat_s: float = BEAT_S) -> Iterator[Place]:
    """Yield a new folder under ``versions/`` that is no version; it is gone afterwards.

    Only a killed publisher leaves one behind: its ``alive`` then grows old.

    Args:
        store: made if absent.
        beat_s: seconds from one writing of ``alive`` to the next.

    Raises:
        StorageError: if it cannot be made.
    """
    hidden: Place = store / "versions" / f"{HIDDEN_PREFIX}{uuid4().hex}"
    stop = Event()
    try:
        with storage_faults(store):
            if is_local(hidden):
                hidden.mkdir(parents=True)
            _beat(hidden)
    except FileNotFoundError as error:
        raise StorageError(
            f"{store} must lie in a bucket that exists: make it, or set store.uri to another place"
        ) from error

    def beat_on() -> None:
        while not stop.wait(beat_s):
            try:
                _beat(hidden)
            except (StorageError, OSError) as error:
                # The publishing itself will say what is wrong, if it is more than this.
                _LOG.warning("%s could not be written: %s", hidden / ALIVE, error)

    beating = Thread(target=beat_on, name="alive", daemon=True)
    beating.start()
    try:
        yield hidden
    finally:
        # First, so that it does not come back.
        stop.set()
        beating.join()
        try:
            remove_folder(hidden)
        except StorageError as error:
            # Its absence is not what was asked for, and must not hide what went wrong before.
            _LOG.warning("%s stays until `store gc`: %s", hidden, error)


def _beat(hidden: Place) -> None:
    if is_local(hidden):
        # Not written through a neighbour, whose folders would be made anew.
        (hidden / ALIVE).touch()
    else:
        write_atomic(hidden / ALIVE, b"")
