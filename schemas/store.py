"""Names, references, canonical JSON, ids and digests of a store. Standard library, no I/O."""

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from schemas.errors import UsageError

__all__ = [
    "ARRAYS",
    "ARRAY_NAMES",
    "DEFAULT_REF",
    "FORMAT_VERSION",
    "MANIFEST",
    "QUARANTINE",
    "ROWS_PER_CHUNK",
    "RUN",
    "SEGMENTS",
    "StoreRef",
    "canonical_json",
    "is_inside",
    "is_tag",
    "is_version_id",
    "mask_path",
    "parse_json",
    "parse_store_ref",
    "parse_tag",
    "ref_path",
    "sha256_hex",
    "version_id",
    "version_path",
]

FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
RUN: Final = "run.json"
SEGMENTS: Final = "segments.parquet"
QUARANTINE: Final = "quarantine.parquet"
ARRAYS: Final = "arrays.zarr"
ARRAY_NAMES: Final = ("imu", "video", "text", "valid")
ROWS_PER_CHUNK: Final = 4096
DEFAULT_REF: Final = "latest"

_TAG = re.compile(r"[a-z][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[0-9a-f]{16}")
# Made once: making it takes as long as what a segment's id is made from.
_CANONICAL: Final = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: Any) -> bytes:  # noqa: ANN401 - whatever JSON can say
    """Return the one UTF-8 form of a JSON value: sorted keys, no spaces, no NaN."""
    return _CANONICAL.encode(value).encode()


def parse_json(data: bytes | str) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Return what a JSON document of unknown origin says.

    Raises:
        ValueError: if it is none, holds NaN or infinity (which JSON does not), or is nested deeper
            than anything of ours.
    """
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def is_inside(path: str) -> bool:
    """Whether a recorded path names a file below the folder it is relative to, in one way only."""
    return (
        bool(path)
        and not any(sign in path for sign in ("\\", "\0", ":"))
        and all(part not in ("", ".", "..") for part in path.split("/"))
    )


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hex."""
    return sha256(data).hexdigest()


def version_id(manifest: dict[str, Any]) -> str:
    """Return the id of the version that ``manifest`` describes: 16 hex digits of its digest."""
    return sha256_hex(canonical_json(manifest))[:16]


def is_version_id(text: str) -> bool:
    """Whether ``text`` has the form of a version id: exactly 16 hex digits."""
    return _VERSION.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether ``text`` may name a tag: ``[a-z][a-z0-9._-]{0,63}``, and no version id."""
    return _TAG.fullmatch(text) is not None and not is_version_id(text) and ".." not in text


def parse_tag(text: str) -> str:
    """Return ``text`` if it may name a tag.

    Raises:
        UsageError: otherwise, with the rule.
    """
    if not is_tag(text):
        raise UsageError(
            "tag must match [a-z][a-z0-9._-]{0,63}, hold no '..' and not be 16 hex digits, "
            f"got {text!r}"
        )
    return text


@dataclass(frozen=True, slots=True)
class StoreRef:
    """A store and, where one was named, a version id or a tag in it."""

    uri: str
    ref: str | None

    def __str__(self) -> str:
        return self.uri if self.ref is None else f"{self.uri}@{self.ref}"


def parse_store_ref(text: str) -> StoreRef:
    """Split ``URI[@REF]`` at its last ``@``.

    An ``@`` that is part of the URI (before a later ``/``) does not count.

    Raises:
        UsageError: if the URI is empty or REF is neither a version id nor a tag.
    """
    uri, at, ref = text.rpartition("@")
    if not at or "/" in ref:
        uri, ref = text, ""
    if not uri:
        raise UsageError(f"store must be URI[@REF] with a URI before the '@', got {text!r}")
    if at and uri != text and not (is_version_id(ref) or is_tag(ref)):
        raise UsageError(
            f"store reference must end in a version id (16 hex digits) or a tag, got {text!r}"
        )
    return StoreRef(uri, ref or None)


def version_path(version: str, name: str = "") -> str:
    """Return the path of a version, or of an object in it, relative to the store."""
    return f"versions/{version}/{name}" if name else f"versions/{version}"


def ref_path(tag: str) -> str:
    """Return the path of a tag's file, relative to the store."""
    return f"refs/{parse_tag(tag)}.json"


def mask_path(version: str, name: str, suffix: str) -> str:
    """Return the path of a mask's file; ``suffix`` is ``parquet`` or ``json``."""
    return f"masks/{version}/{parse_tag(name)}.{suffix}"
