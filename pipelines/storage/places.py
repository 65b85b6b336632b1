"""A folder or file of this machine or of an object store, behind the methods of a path."""

from pathlib import Path
from typing import Any, Final, TypeAlias

import fsspec
from typing_extensions import TypeIs
from upath import UPath

from schemas.uris import check_uri, local_path, uri_scheme

__all__ = ["Place", "RemotePlace", "check_place", "is_local", "open_place"]

RemotePlace: TypeAlias = UPath
"""In an object store, or wherever else fsspec reaches."""

Place: TypeAlias = Path | RemotePlace
"""What :func:`open_place` gives, and what ``/`` makes of it."""

# Others write there too: what was listed before says nothing about now.
_REMOTE_OPTIONS: Final[dict[str, Any]] = {"use_listings_cache": False}
_S3: Final = frozenset({"s3", "s3a"})


def open_place(uri: str) -> Place:
    """Return the place that ``uri`` names; nothing is read there yet.

    A folder of this machine, or any URI that fsspec knows: ``s3://bucket/store``, ``gs://``,
    ``memory://``, ``file:///...``. Credentials and endpoints come from the environment alone, such
    as ``AWS_ACCESS_KEY_ID`` and ``AWS_ENDPOINT_URL``.

    Raises:
        UsageError: if the URI is empty, holds credentials, or is of a kind that is unknown or not
            installed.
    """
    check_place(uri)
    here = local_path(uri)
    if here is not None:
        return here
    options = dict(_REMOTE_OPTIONS)
    if uri_scheme(uri) in _S3:
        from pipelines.storage.s3 import s3_options

        options |= s3_options()
    remote: UPath = UPath(uri, **options)
    return remote


def check_place(uri: str) -> str:
    """Return ``uri`` if it may name a place.

    Raises:
        UsageError: as :func:`open_place`.
    """
    return check_uri(uri, find_kind=fsspec.get_filesystem_class)


def is_local(place: Place) -> TypeIs[Path]:
    """Whether a place is a file or folder of this machine."""
    return isinstance(place, Path)
