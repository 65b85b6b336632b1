"""What code ran, in what, and where: told of a preparation and of a training run alike."""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["CONTAINER_DIGEST", "CodeRecord", "public_uri", "read_code_record"]

CONTAINER_DIGEST: Final = "PRIMUS_CONTAINER_DIGEST"
"""Environment variable in which whoever starts a container tells it its image's digest."""

_GIT_SECONDS: Final = 10


class CodeRecord(BaseModel):
    """The code and the machine of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    commit: str | None = Field(default=None, description="git commit, where it can be told")
    dirty: bool | None = Field(
        default=None, description="whether tracked files differed from the commit"
    )
    container_digest: str | None = Field(
        default=None, description=f"of the image, from {CONTAINER_DIGEST}"
    )
    python: str
    platform: str
    host: str | None = Field(default=None, description="name of the machine")
    packages: dict[str, str] = Field(description="package: version")


def read_code_record(packages: Sequence[str], *, root: Path | None = None) -> CodeRecord:
    """Return what runs here and now.

    Args:
        packages: names of distributions; those that are not installed are left out.
        root: the code's own checkout; by default the folder this package lies in. An installed
            wheel has none, and then no commit can be told.
    """
    here = root or Path(__file__).resolve().parent.parent
    commit = changes = None
    if (here / ".git").exists():
        commit = _git(here, "rev-parse", "HEAD")
        changes = _git(here, "status", "--porcelain", "--untracked-files=no")
    return CodeRecord(
        commit=commit or None,
        dirty=bool(changes) if commit and changes is not None else None,
        container_digest=os.environ.get(CONTAINER_DIGEST) or None,
        python=platform.python_version(),
        platform=platform.platform(),
        host=platform.node() or None,
        packages={name: found for name in packages if (found := _package(name)) is not None},
    )


def _package(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says of a checkout, None where it cannot be asked."""
    try:
        done = subprocess.run(
            # Looking must not write: the checkout may be read-only, or somebody else's.
            ["git", "--no-optional-locks", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def public_uri(uri: str) -> str:
    """Return a place as it may be written down: a URI without user, password, query or fragment.

    A folder of this machine stays as it is.
    """
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
