"""Tags of a store: small files that name a version, replaced in one write."""

import json
import time
from pathlib import Path
from uuid import uuid4

from pipelines.stores.files import write_atomic
from schemas.errors import StoreDamagedError, StoreNotFoundError
from schemas.store import (
    DEFAULT_REF,
    MANIFEST,
    canonical_json,
    is_version_id,
    parse_tag,
    ref_path,
    version_path,
)

__all__ = ["list_tags", "list_versions", "read_ref", "read_tag_log", "write_tag"]


def list_versions(store: Path) -> list[str]:
    """Return the ids of the store's published versions, sorted."""
    found = (path.parent.name for path in store.glob(f"versions/*/{MANIFEST}"))
    return sorted(name for name in found if is_version_id(name))


def list_tags(store: Path) -> dict[str, str]:
    """Return every tag of the store and the version it names, sorted by tag."""
    return {path.stem: _read_version(path) for path in sorted(store.glob("refs/*.json"))}


def read_ref(store: Path, ref: str | None = None) -> str:
    """Return the version that ``ref`` names: a version id, a tag, or None for the latest.

    Raises:
        StoreNotFoundError: if there is no such version or tag; the sentence lists what exists.
        UsageError: if ``ref`` has the form of neither.
    """
    if not store.is_dir():
        raise StoreNotFoundError(f"store must be an existing folder, got {store}")
    name = ref if ref is not None else DEFAULT_REF
    if is_version_id(name):
        version = name
    else:
        path = store / ref_path(name)
        if not path.exists():
            raise StoreNotFoundError(f"tag {name} must exist, {_existing(store)} [{store}]")
        version = _read_version(path)
    if not (store / version_path(version, MANIFEST)).is_file():
        named = "" if name == version else f"that tag {name} names "
        raise StoreNotFoundError(
            f"version {version} {named}must exist, {_existing(store)} [{store}]"
        )
    return version


def write_tag(store: Path, tag: str, *, version: str) -> None:
    """Let ``tag`` name ``version``; the last writer wins, and the history keeps every write.

    Raises:
        StoreNotFoundError: if the version does not exist.
        UsageError: if ``tag`` may not name a tag.
    """
    parse_tag(tag)
    version = read_ref(store, version)
    path = store / ref_path(tag)
    previous = _read_version(path) if path.exists() else None
    now_ns = time.time_ns()
    entry = {"at_ns": now_ns, "previous": previous, "version": version}
    write_atomic(path, canonical_json({"version": version}))
    log = store / "refs" / "log" / tag / f"{now_ns:020d}-{uuid4().hex[:8]}.json"
    write_atomic(log, canonical_json(entry))


def read_tag_log(store: Path, tag: str) -> list[str]:
    """Return the versions ``tag`` has named, oldest first."""
    folder = store / "refs" / "log" / parse_tag(tag)
    return [_read_version(path) for path in sorted(folder.glob("*.json"))]


def _read_version(path: Path) -> str:
    try:
        version = json.loads(path.read_bytes())["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(f'ref must hold {{"version": ID}} [{path}]') from error
    if not isinstance(version, str) or not is_version_id(version):
        raise StoreDamagedError(f"ref must name a version id, got {version!r} [{path}]")
    return version


def _existing(store: Path) -> str:
    tags = ", ".join(f"{tag} -> {version}" for tag, version in list_tags(store).items())
    return f"got tags [{tags}] and versions [{', '.join(list_versions(store))}]"
