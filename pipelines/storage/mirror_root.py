"""Where the mirror of a dataset in an object store lies on this machine."""

import os
from hashlib import sha256
from pathlib import Path

__all__ = ["mirror_root"]


def mirror_root(uri: str, *, scratch: Path) -> Path:
    """Return the folder under ``scratch`` that mirrors the dataset at ``uri``: one a user."""
    name = sha256(f"{os.getuid()}:{uri.rstrip('/')}".encode()).hexdigest()[:16]
    return scratch / f"primus-mirror-{name}" / "tree"
