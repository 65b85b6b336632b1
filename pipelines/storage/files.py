"""Files that appear whole or not at all, on a disk or in an object store."""

import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

from typing_extensions import Buffer

from pipelines.storage.faults import STORE_FIELDS, TEMPORARY_FIELD, storage_faults
from pipelines.storage.places import Place, RemotePlace, is_local
from schemas.faults import with_retries

__all__ = [
    "fetch",
    "file_sha256",
    "files_sha256",
    "local_copy",
    "open_atomic",
    "remove_folder",
    "upload",
    "write_atomic",
]

_BLOCK: Final = 1 << 20
# Each block is a request.
_REMOTE_BLOCK: Final = 8 << 20


@contextmanager
def open_atomic(place: Place) -> Iterator[BinaryIO]:
    """Open a temporary file for writing; on a clean exit it appears as ``place``.

    On a disk the temporary file is a neighbour, flushed and renamed; for an object store it lies on
    this machine and is sent in one request, or in parts that appear together. What the caller does
    meanwhile raises what it raises; only faults of this file are told as faults of storage.

    Raises:
        StorageError: if there is no room or no permission.
    """
    if not is_local(place):
        with _temporary_folder(place) as folder:
            whole = folder / "object"
            with _writing(whole, place) as file:
                yield file
            upload(whole, place)
        return
    temporary = place.with_name(f".{place.name}.{uuid4().hex}.tmp")
    try:
        with storage_faults(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        with _writing(temporary, place) as file:
            yield file
            with storage_faults(place):
                file.flush()
                os.fsync(file.fileno())
        with storage_faults(place):
            temporary.replace(place)
    finally:
        with storage_faults(place):
            temporary.unlink(missing_ok=True)


def write_atomic(place: Place, data: bytes) -> None:
    """Write ``data`` to ``place``: whole or not at all.

    Raises:
        StorageError: if there is no room or no permission.
    """
    if is_local(place):
        with open_atomic(place) as file:
            file.write(data)
        return
    with storage_faults(place):
        with_retries(lambda: place.fs.pipe_file(place.path, data), what=f"write {place}")


def upload(source: Path, place: Place) -> None:
    """Copy a file of this machine to ``place``, where it appears whole or not at all.

    Raises:
        StorageError: if there is no room or no permission.
    """
    if is_local(place):
        with source.open("rb") as whole, open_atomic(place) as file:
            while block := whole.read(_BLOCK):
                file.write(block)
        return
    with storage_faults(place):
        with_retries(lambda: place.fs.put_file(str(source), place.path), what=f"write {place}")


@contextmanager
def local_copy(place: Place) -> Iterator[Path]:
    """Yield a file of this machine that holds what ``place`` does: itself, or a copy for the time.

    Raises:
        FileNotFoundError: if there is nothing.
        StorageError: if it cannot be had whole.
    """
    if is_local(place):
        yield place
        return
    with _temporary_folder(place) as folder:
        copy = folder / place.name
        fetch(place, copy)
        yield copy


def fetch(
    place: RemotePlace,
    copy: Path,
    *,
    size: int | None = None,
    fields: str = STORE_FIELDS,
    copies: Path | None = None,
    copies_field: str = TEMPORARY_FIELD,
) -> None:
    """Copy an object of a store to a file of this machine; what arrives cut short is no copy.

    Args:
        place: of the object.
        copy: made or overwritten.
        size: of the object where it is known; else it is asked for.
        fields: of the config that name ``place``.
        copies: folder that copies go to, for the sentence where it is full; default the one for
            temporary files.
        copies_field: what moves that folder.

    Raises:
        FileNotFoundError: if there is nothing.
        StorageError: if it cannot be had whole.
    """

    def attempt() -> None:
        place.fs.get_file(place.path, str(copy))
        _check_whole(place, got=copy.stat().st_size, size=size)

    with storage_faults(place, fields=fields, copies=copies, copies_field=copies_field):
        with_retries(attempt, what=f"read {place}")


def remove_folder(place: Place) -> None:
    """Remove a folder and all in it; one that is not there is gone already.

    Raises:
        StorageError: if it cannot be removed.
    """
    with storage_faults(place):
        if is_local(place):
            with_retries(lambda: _remove_tree(place), what=f"remove {place}")
            return
        try:
            with_retries(lambda: place.fs.rm(place.path, recursive=True), what=f"remove {place}")
        except FileNotFoundError:
            return


def file_sha256(place: Place) -> str:
    """Return the SHA-256 of a whole file in hex, read in bounded blocks.

    Raises:
        FileNotFoundError: if there is nothing.
        StorageError: if an object store does not give it whole.
    """
    if is_local(place):
        return _digest(place, block=_BLOCK)[0]
    with storage_faults(place):
        return with_retries(lambda: _remote_digest(place), what=f"read {place}")


def files_sha256(places: Sequence[Place]) -> Iterator[str]:
    """Yield the SHA-256 of each file in turn; as many are read at once as there are cores."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        # Hashing lets go of Python's lock.
        yield from pool.map(file_sha256, places)


class _WatchedFile(io.FileIO):
    """A raw file whose failed writes are told as what is wrong with the place it is for."""

    def __init__(self, path: Path, place: Place) -> None:
        super().__init__(path, "wb")
        self._place = place

    def write(self, data: Buffer, /) -> int:
        with storage_faults(self._place):
            return super().write(data)


@contextmanager
def _writing(path: Path, place: Place) -> Iterator[BinaryIO]:
    with storage_faults(place):
        raw = _WatchedFile(path, place)
    with io.BufferedWriter(raw, buffer_size=_BLOCK) as file:
        yield file


@contextmanager
def _temporary_folder(place: Place) -> Iterator[Path]:
    with storage_faults(place):
        folder = tempfile.TemporaryDirectory(prefix="primus-")
    with folder as name:
        yield Path(name)


def _remote_digest(place: Place) -> str:
    digest, size = _digest(place, block=_REMOTE_BLOCK)
    _check_whole(place, got=size)
    return digest


def _digest(place: Place, *, block: int) -> tuple[str, int]:
    digest, size = sha256(), 0
    with place.open("rb") as file:
        while data := file.read(block):
            digest.update(data)
            size += len(data)
    return digest.hexdigest(), size


def _check_whole(place: Place, *, got: int, size: int | None = None) -> None:
    size = place.stat().st_size if size is None else size
    if got != size:
        raise ConnectionError(f"an answer of {size} bytes was cut short, {got} came")


def _remove_tree(folder: Path) -> None:
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            # Somebody else removed a part of it meanwhile.
            continue
