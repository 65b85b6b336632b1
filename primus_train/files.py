"""Files that appear whole or not at all, and the digests they are recognised by."""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

__all__ = ["file_sha256", "read_json", "write_atomic", "write_json"]

_BLOCK = 1 << 20


def write_atomic(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` by temporary name, fsync and rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write ``value`` to ``path`` as indented JSON, whole or not at all."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in ``path``."""
    value: dict[str, Any] = json.loads(path.read_text())
    return value


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a whole file in hex, read in bounded blocks."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
