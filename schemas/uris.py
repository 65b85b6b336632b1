"""What the text of a place's address must keep to, wherever it is read or written."""

from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from schemas.errors import UsageError

__all__ = ["check_uri", "local_path", "uri_scheme"]

_HERE: Final = frozenset({"", "file", "local"})
_EXTRAS: Final = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}


def uri_scheme(uri: str) -> str:
    """Return the kind of a URI in lower case, such as ``s3``; nothing for a plain path."""
    return uri.partition("://")[0].lower() if "://" in uri else ""


def local_path(uri: str) -> Path | None:
    """Return the path on this machine that ``uri`` names, None if it names none here."""
    if uri_scheme(uri) not in _HERE:
        return None
    return Path(unquote(urlsplit(uri).path) if "://" in uri else uri)


def check_uri(uri: str, *, find_kind: Callable[[str], object], name: str = "place") -> str:
    """Return ``uri`` if it may name a place: a folder of this machine, or a remote one.

    Args:
        uri: path or URI.
        find_kind: asked for the library of a scheme: raises ImportError if it is not installed, and
            ValueError for a scheme that nobody knows.
        name: of the place, for the sentence.

    Raises:
        UsageError: if it is empty, holds credentials or a query, names no bucket, or is of a kind
            that is unknown or not installed.
    """
    if not uri:
        raise UsageError(f"{name} must be a folder or a URI such as s3://bucket/store, got ''")
    scheme = uri_scheme(uri)
    if scheme in _HERE:
        return uri
    rest = uri.partition("://")[2]
    # Looked for by hand: what is no well-formed URI may hold a password all the same.
    if ":" in rest.rpartition("@")[0].partition("/")[0] or "?" in rest:
        raise UsageError(
            f"{name} must hold no credentials and no query, got some in {scheme}://...: set them "
            "in the environment"
        )
    if not rest.strip("/"):
        raise UsageError(f"{name} must name a bucket or folder, got {scheme}:// alone")
    try:
        find_kind(scheme)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        way_out = f": pip install 'primus-pipelines[{extra}]'" if extra is not None else ""
        raise UsageError(f"{scheme}:// needs a package that is not installed{way_out}") from error
    except ValueError as error:
        raise UsageError(
            f"{name} must be of a kind that fsspec knows, such as s3:// or gs://, got {scheme}://"
        ) from error
    return uri
