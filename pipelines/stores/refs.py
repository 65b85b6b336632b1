"""Tags of a store: small files that name a version, replaced in one write."""

import time
from pathlib import PurePosixPath
from uuid import uuid4

from pipelines.storage.files import write_atomic
from pipelines.storage.places import Place
from pipelines.stores.contents import child_names, has_folder, has_object, read_object
from schemas.errors import StoreDamagedError, StoreNotFoundError
from schemas.store import (
    DEFAULT_REF,
    MANIFEST,
    canonical_json,
    is_version_id,
    parse_json,
    parse_tag,
    ref_path,
    version_path,
)

__all__ = ["list_tags", "list_versions", "read_ref", "read_tag_log", "write_tag"]


def list_versions(store: Place) -> list[str]:
    """Return the ids of the store's published versions, sorted."""
    names = [name for name in child_names(store / "versions") if is_version_id(name)]
    return [name for name in names if has_object(store / version_path(name, MANIFEST))]


def list_tags(store: Place) -> dict[str, str]:
    """Return every tag of the store and the version it names, sorted by tag."""
    tags = (PurePosixPath(name).stem for name in _records(store / "refs"))
    return {tag: _read_version(store / ref_path(tag)) for tag in tags}


def read_ref(store: Place, ref: str | None = None) -> str:
    """Return the version that ``ref`` names: a version id, a tag, or None for the latest.

    Raises:
        StoreNotFoundError: if there is no such version or tag; the sentence lists what exists.
        UsageError: if ``ref`` has the form of neither.
    """
    if not has_folder(store):
        raise StoreNotFoundError(f"store must be an existing folder, got {store}")
    name = ref if ref is not None else DEFAULT_REF
    if is_version_id(name):
        version = name
    else:
        found = _find_version(store / ref_path(name))
        if found is None:
            raise StoreNotFoundError(f"tag {name} must exist, {_existing(store)} [{store}]")
        version = found
    if not has_object(store / version_path(version, MANIFEST)):
        named = "" if name == version else f"that tag {name} names "
        raise StoreNotFoundError(
            f"version {version} {named}must exist, {_existing(store)} [{store}]"
        )
    return version


def write_tag(store: Place, tag: str, *, version: str) -> None:
    """Let ``tag`` name ``version``; the last writer wins, and the history keeps every write.

    The history is written first: it lacks nothing that the tag has ever named.

    Raises:
        StoreNotFoundError: if the version does not exist.
        UsageError: if ``tag`` may not name a tag.
    """
    parse_tag(tag)
    version = read_ref(store, version)
    path = store / ref_path(tag)
    now_ns = time.time_ns()
    entry = {"at_ns": now_ns, "previous": _find_version(path), "version": version}
    log = store / "refs" / "log" / tag / f"{now_ns:020d}-{uuid4().hex[:8]}.json"
    write_atomic(log, canonical_json(entry))
    write_atomic(path, canonical_json({"version": version}))


def read_tag_log(store: Place, tag: str) -> list[str]:
    """Return the versions ``tag`` has named, oldest first."""
    folder = store / "refs" / "log" / parse_tag(tag)
    return [_read_version(folder / name) for name in _records(folder)]


def _records(folder: Place) -> list[str]:
    return [name for name in child_names(folder) if name.endswith(".json")]


def _find_version(path: Place) -> str | None:
    try:
        return _read_version(path)
    except FileNotFoundError:
        return None


def _read_version(path: Place) -> str:
    try:
        version = parse_json(read_object(path))["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(f'ref must hold {{"version": ID}} [{path}]') from error
    if not isinstance(version, str) or not is_version_id(version):
        raise StoreDamagedError(f"ref must name a version id, got {version!r} [{path}]")
    return version


def _existing(store: Place) -> str:
    tags = ", ".join(f"{tag} -> {version}" for tag, version in list_tags(store).items())
    return f"got tags [{tags}] and versions [{', '.join(list_versions(store))}]"
