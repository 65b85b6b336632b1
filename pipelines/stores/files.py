"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

__all__ = ["file_sha256", "files_sha256", "open_atomic", "write_atomic"]

_BLOCK = 1 << 20


@contextmanager
def open_atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary neighbour for writing; on a clean exit fsync and rename it to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` by temporary name, fsync and rename."""
    with open_atomic(path) as file:
        file.write(data)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a whole file in hex, read in bounded blocks."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def files_sha256(paths: Sequence[Path]) -> Iterator[str]:
    """Yield the SHA-256 of each file in turn; as many are read at once as there are cores."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        # Hashing lets go of Python's lock.
        yield from pool.map(file_sha256, paths)
