"""A small file that the first of several writers makes; the others read what it says."""

import os
from pathlib import Path
from uuid import uuid4

from pipelines.storage.faults import storage_faults
from pipelines.storage.places import Place, is_local
from pipelines.stores.contents import read_object
from schemas.faults import with_retries

__all__ = ["claim"]


def claim(place: Place, data: bytes) -> bytes:
    """Write ``data`` to ``place`` if nothing is there; return what is there now, whole.

    Of several writers at once, on any machine, one wins.

    Raises:
        StorageError: if there is no room, no permission or no answer.
    """
    with storage_faults(place):
        try:
            if is_local(place):
                _link_new(place, data)
            else:
                # Object stores refuse it themselves, by a condition on the write.
                with_retries(
                    lambda: place.fs.pipe_file(place.path, data, mode="create"),
                    what=f"write {place}",
                )
        except FileExistsError:
            # Also where our own attempt was done before its answer was lost.
            return read_object(place)
    return data


def _link_new(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename it refuses to replace, on a share too.
        os.link(temporary, place)
    finally:
        temporary.unlink(missing_ok=True)
