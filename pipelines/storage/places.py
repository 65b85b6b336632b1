"""A folder or file of this machine or of an object store, behind the methods of a path."""

from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urlsplit

import fsspec
from typing_extensions import TypeIs
from upath import UPath

from schemas.errors import UsageError

__all__ = ["Place", "RemotePlace", "check_place", "is_local", "open_place"]

RemotePlace: TypeAlias = UPath
"""In an object store, or wherever else fsspec reaches."""

Place: TypeAlias = Path | RemotePlace
"""What :func:`open_place` gives, and what ``/`` makes of it."""

# Others write there too: what was listed before says nothing about now.
_REMOTE_OPTIONS: Final[dict[str, Any]] = {"use_listings_cache": False}
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}
_S3: Final = frozenset({"s3", "s3a"})
_HERE: Final = frozenset({"", "file", "local"})


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
    if _scheme(uri) in _HERE:
        return Path(unquote(urlsplit(uri).path) if "://" in uri else uri)
    options = dict(_REMOTE_OPTIONS)
    if _scheme(uri) in _S3:
        from pipelines.storage.s3 import s3_options

        options |= s3_options()
    remote: UPath = UPath(uri, **options)
    return remote


def check_place(uri: str) -> str:
    """Return ``uri`` if it may name a place.

    Raises:
        UsageError: as :func:`open_place`.
    """
    if not uri:
        raise UsageError("place must be a folder or a URI such as s3://bucket/store, got ''")
    scheme = _scheme(uri)
    if scheme in _HERE:
        return uri
    rest = uri.partition("://")[2]
    # Looked for by hand: what is no well-formed URI may hold a password all the same.
    if ":" in rest.rpartition("@")[0].partition("/")[0] or "?" in rest:
        raise UsageError(
            f"URI must hold no credentials and no query, got some in {scheme}://...: set them in "
            "the environment"
        )
    if not rest.strip("/"):
        raise UsageError(f"URI must name a bucket or folder, got {scheme}:// alone")
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        way_out = f": pip install 'primus-pipelines[{extra}]'" if extra is not None else ""
        raise UsageError(f"{scheme}:// needs a package that is not installed{way_out}") from error
    except ValueError as error:
        raise UsageError(
            f"URI must be of a kind that fsspec knows, such as s3:// or gs://, got {scheme}://"
        ) from error
    return uri


def is_local(place: Place) -> TypeIs[Path]:
    """Whether a place is a file or folder of this machine."""
    return isinstance(place, Path)


def _scheme(uri: str) -> str:
    return uri.partition("://")[0].lower() if "://" in uri else ""
