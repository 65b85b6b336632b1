"""Find what a store reference names, and make sure it is what it says it is."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from primus_train.data.fetch import is_fetched
from primus_train.data.places import Place, ask, open_root, read_whole
from primus_train.files import file_sha256
from schemas.errors import NewerFormatError, StoreDamagedError, StoreNotFoundError
from schemas.manifest import Manifest, RunRecord
from schemas.mask import MaskRecord
from schemas.provenance import public_uri
from schemas.store import (
    DEFAULT_REF,
    FORMAT_VERSION,
    MANIFEST,
    RUN,
    canonical_json,
    is_version_id,
    mask_path,
    parse_json,
    parse_store_ref,
    ref_path,
    sha256_hex,
    version_id,
    version_path,
)

__all__ = [
    "StoreIdentity",
    "identify_store",
    "read_manifest",
    "read_mask_record",
    "read_run_record",
    "resolve_version",
    "verify_objects",
]

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


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

    @property
    def public_uri(self) -> str:
        """The store as a record may hold it: the whole path on this machine, no credentials."""
        root = open_root(self.uri)
        return str(root.absolute()) if isinstance(root, Path) else public_uri(self.uri)


def _names(folder: Place, suffix: str = "") -> str:
    """Return what a folder holds, for a sentence: names without ``suffix``, no hidden ones."""
    try:
        found = ask(lambda: [place.name for place in folder.iterdir()], place=folder)
    except (FileNotFoundError, NotADirectoryError):
        found = []
    shown = sorted(
        name.removesuffix(suffix)
        for name in found
        if name.endswith(suffix) and not name.startswith(".")
    )
    return ", ".join(shown) or "none"


def _exists(place: Place) -> bool:
    return place.is_file() if isinstance(place, Path) else ask(place.exists, place=place)


def resolve_version(root: Place, ref: str | None) -> str:
    """Return the id of the version that a tag, an id or nothing (``latest``) names."""
    if isinstance(root, Path) and not root.is_dir():
        raise StoreNotFoundError(f"store must be an existing folder, got {root}")
    name = ref or DEFAULT_REF
    if not isinstance(root, Path) and is_version_id(name) and is_fetched(name):
        # An id means the same bytes everywhere: once they are here, nobody need be asked.
        return name
    version = name if is_version_id(name) else _read_tag(root, name)
    if not _exists(root / version_path(version, MANIFEST)):
        raise StoreNotFoundError(
            f"store has no version {version!r}; versions: {_names(root / 'versions')} "
            f"[store={root}]"
        )
    return version


def _read_tag(root: Place, tag: str) -> str:
    file = root / ref_path(tag)
    try:
        version = parse_json(read_whole(file))["version"]
    except FileNotFoundError as error:
        raise StoreNotFoundError(
            f"store has no tag {tag!r}; tags: {_names(root / 'refs', '.json')}; "
            f"versions: {_names(root / 'versions')} [store={root}]"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(f'tag must hold {{"version": ID}} [file={file}]') from error
    if not isinstance(version, str) or not is_version_id(version):
        raise StoreDamagedError(f"tag must name a version id, got {version!r} [file={file}]")
    return version


def read_manifest(root: Place, version: str) -> Manifest:
    """Return the manifest of a version, once its format and its own hash are right."""
    path = root / version_path(version, MANIFEST)
    try:
        raw: dict[str, Any] = parse_json(read_whole(path))
        made_by = int(raw["format_version"])
        made_id = version_id(raw)
    except FileNotFoundError as error:
        raise StoreNotFoundError(f"manifest must exist, none found [file={path}]") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(
            f"manifest must be a JSON object with format_version [file={path}]"
        ) from error
    if made_by > FORMAT_VERSION:
        raise NewerFormatError(
            f"format_version must be at most {FORMAT_VERSION}, got {made_by}: this version needs "
            f"a newer primus-train [version={version}]"
        )
    if made_id != version:
        raise StoreDamagedError(
            f"manifest must hash to its version {version}, got {made_id} [file={path}]"
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
    whole = os.path.realpath(folder)
    for entry in manifest.objects:
        path = folder / entry.path
        try:
            size = path.stat().st_size
            if os.path.realpath(path) != os.path.join(whole, *entry.path.split("/")):  # noqa: PTH118
                raise StoreDamagedError(
                    f"object must be a file of the version, got a link [file={path}]"
                )
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


def read_mask_record(root: Place, version: str, name: str) -> MaskRecord:
    """Return the record beside a mask's table, once it is of that mask and version."""
    path = root / mask_path(version, name, "json")
    try:
        record = MaskRecord.model_validate_json(read_whole(path))
    except FileNotFoundError as error:
        raise StoreNotFoundError(
            f"version has no mask {name!r}; masks: {_names(path.parent, '.json')} "
            f"[version={version}]"
        ) from error
    except ValidationError as error:
        raise StoreDamagedError(f"mask record must follow its schema [file={path}]") from error
    if record.version != version or record.spec.name != name:
        raise StoreDamagedError(
            f"mask record must be of mask {name} of version {version}, got {record.spec.name} of "
            f"{record.version} [file={path}]"
        )
    if not _SHA256.fullmatch(record.sha256):
        raise StoreDamagedError(
            f"mask record must hold a SHA-256, got {record.sha256!r} [file={path}]"
        )
    return record


def read_run_record(root: Place, version: str) -> RunRecord | None:
    """Return how a version came to be; None where that is not there or not as it was written."""
    try:
        record = RunRecord.model_validate_json(read_whole(root / version_path(version, RUN)))
    except (FileNotFoundError, ValidationError):
        return None
    body = record.model_dump(mode="json", exclude={"sha256"})
    return record if sha256_hex(canonical_json(body)) == record.sha256 else None


def identify_store(ref: str, *, mask: str | None = None) -> StoreIdentity:
    """Return the version and mask that ``URI[@REF]`` stands for, without reading any array.

    Raises:
        StoreNotFoundError: the store, version, tag or mask does not exist.
        StorageError: a remote store does not answer.
        UsageError: ``ref`` has no such form.
    """
    parsed = parse_store_ref(ref)
    root = open_root(parsed.uri)
    version = resolve_version(root, parsed.ref)
    digest = None if mask is None else read_mask_record(root, version, mask).sha256
    return StoreIdentity(uri=parsed.uri, version=version, mask=mask, mask_sha256=digest)
