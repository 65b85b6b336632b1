"""Find what a store reference names, and make sure it is what it says it is."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from pydantic import ValidationError

from primus_train.files import file_sha256
from schemas.errors import NewerFormatError, StoreDamagedError, StoreNotFoundError, UsageError
from schemas.manifest import Manifest
from schemas.mask import MaskRecord
from schemas.store import (
    DEFAULT_REF,
    FORMAT_VERSION,
    MANIFEST,
    is_version_id,
    mask_path,
    parse_store_ref,
    ref_path,
    version_id,
    version_path,
)

__all__ = [
    "StoreIdentity",
    "identify_store",
    "local_root",
    "read_manifest",
    "read_mask_record",
    "resolve_version",
    "verify_objects",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreIdentity:
    """What a reference stands for now: a version, and the digest of the mask over it."""

    uri: str
    version: str
    mask: str | None
    mask_sha256: str | None

    @property
    def pinned(self) -> str:
        """The store at this very version, wherever its tags may move."""
        return f"{self.uri}@{self.version}"


def _names(folder: Path, pattern: str = "*") -> str:
    found = sorted(p.stem for p in folder.glob(pattern)) if folder.is_dir() else []
    return ", ".join(found) or "none"


def local_root(uri: str) -> Path:
    """Return the folder of a store's URI."""
    scheme = urlparse(uri).scheme
    if scheme == "file":
        return Path(unquote(urlparse(uri).path))
    if "://" in uri:
        raise UsageError(f"store must be a folder or a file:// URI, got {uri!r}")
    return Path(uri)


def resolve_version(root: Path, ref: str | None) -> str:
    """Return the id of the version that a tag, an id or nothing (``latest``) names."""
    if not root.is_dir():
        raise StoreNotFoundError(f"store must be an existing folder, got {root}")
    name = ref or DEFAULT_REF
    if is_version_id(name):
        version = name
    else:
        file = root / ref_path(name)
        if not file.is_file():
            raise StoreNotFoundError(
                f"store has no tag {name!r}; tags: {_names(root / 'refs', '*.json')}; "
                f"versions: {_names(root / 'versions')} [store={root}]"
            )
        version = str(json.loads(file.read_text())["version"])
    if not (root / version_path(version, MANIFEST)).is_file():
        raise StoreNotFoundError(
            f"store has no version {version!r}; versions: {_names(root / 'versions')} "
            f"[store={root}]"
        )
    return version


def read_manifest(root: Path, version: str) -> Manifest:
    """Return the manifest of a version, once its format and its own hash are right."""
    path = root / version_path(version, MANIFEST)
    try:
        raw: dict[str, Any] = json.loads(path.read_bytes())
        made_by = int(raw["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(
            f"manifest must be a JSON object with format_version [file={path}]"
        ) from error
    if made_by > FORMAT_VERSION:
        raise NewerFormatError(
            f"format_version must be at most {FORMAT_VERSION}, got {made_by}: this version needs "
            f"a newer primus-train [version={version}]"
        )
    if version_id(raw) != version:
        raise StoreDamagedError(
            f"manifest must hash to its version {version}, got {version_id(raw)} [file={path}]"
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise StoreDamagedError(
            f"manifest field {'.'.join(map(str, first['loc']))} is wrong: {first['msg']} "
            f"[file={path}]"
        ) from error


def verify_objects(
    folder: Path, manifest: Manifest, *, leave: Callable[[str], bool] | None = None
) -> None:
    """Compare every object of a version with the size and SHA-256 in its manifest.

    Args:
        folder: the version's folder.
        manifest: what it should hold.
        leave: of these paths only existence and size are compared: whoever reads them hashes them.
    """
    for entry in manifest.objects:
        path = folder / entry.path
        try:
            size = path.stat().st_size
        except FileNotFoundError as error:
            raise StoreDamagedError(f"object must exist, none found [file={path}]") from error
        if size != entry.size:
            raise StoreDamagedError(
                f"object must have {entry.size} bytes, got {size} [file={path}]"
            )
        if leave is not None and leave(entry.path):
            continue
        digest = file_sha256(path)
        if digest != entry.sha256:
            raise StoreDamagedError(
                f"object must have SHA-256 {entry.sha256}, got {digest} [file={path}]"
            )


def read_mask_record(root: Path, version: str, name: str) -> MaskRecord:
    """Return the record beside a mask's table."""
    path = root / mask_path(version, name, "json")
    if not path.is_file() or not path.with_suffix(".parquet").is_file():
        raise StoreNotFoundError(
            f"version has no mask {name!r}; masks: {_names(path.parent, '*.json')} "
            f"[version={version}]"
        )
    return MaskRecord.model_validate_json(path.read_bytes())


def identify_store(ref: str, *, mask: str | None = None) -> StoreIdentity:
    """Return the version and mask that ``URI[@REF]`` stands for, without reading any array.

    Raises:
        StoreNotFoundError: the store, version, tag or mask does not exist.
        UsageError: ``ref`` has no such form.
    """
    parsed = parse_store_ref(ref)
    root = local_root(parsed.uri)
    version = resolve_version(root, parsed.ref)
    digest = None if mask is None else read_mask_record(root, version, mask).sha256
    return StoreIdentity(uri=parsed.uri, version=version, mask=mask, mask_sha256=digest)
