"""A version's own seals: the id of its manifest, the digests in it, the run record's digest."""

import os
from collections.abc import Callable, Iterable

from pydantic import ValidationError

from pipelines.storage.files import files_sha256
from pipelines.storage.places import Place, is_local
from pipelines.stores.contents import file_sizes, is_unfinished, read_object
from schemas.errors import NewerFormatError, Problem, StoreDamagedError, StoreNotFoundError
from schemas.manifest import Manifest, RunRecord
from schemas.store import (
    FORMAT_VERSION,
    MANIFEST,
    RUN,
    canonical_json,
    parse_json,
    sha256_hex,
    version_id,
    version_path,
)

__all__ = ["find_digest_problems", "read_manifest", "read_run_record", "seal_run_record"]


def read_manifest(store: Place, version: str) -> Manifest:
    """Return the manifest of a version.

    Raises:
        StoreNotFoundError: if there is none.
        NewerFormatError: if a newer format wrote it.
        StoreDamagedError: if it is not JSON of a manifest, or not the one its id names.
    """
    path = store / version_path(version, MANIFEST)
    try:
        raw = parse_json(read_object(path))
        made_id = version_id(raw)
    except FileNotFoundError as error:
        raise StoreNotFoundError(f"version {version} must exist [{store}]") from error
    except ValueError as error:
        raise StoreDamagedError(f"manifest must be JSON, got {error} [{path}]") from error
    if not isinstance(raw, dict):
        raise StoreDamagedError(f"manifest must be an object, got {type(raw).__name__} [{path}]")
    written = raw.get("format_version")
    if isinstance(written, int) and written > FORMAT_VERSION:
        raise NewerFormatError(
            f"format_version must be at most {FORMAT_VERSION} for this code, got {written}: "
            f"install a newer primus-pipelines [{path}]"
        )
    if made_id != version:
        raise StoreDamagedError(
            f"manifest must have the id {version} of its folder, got {made_id} [{path}]"
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        raise StoreDamagedError(f"manifest must follow its schema: {error} [{path}]") from error


def read_run_record(store: Place, version: str) -> RunRecord:
    """Return how a version came to be.

    Raises:
        StoreDamagedError: if the record is missing, broken or does not match its own digest.
    """
    path = store / version_path(version, RUN)
    try:
        record = RunRecord.model_validate_json(read_object(path))
    except (FileNotFoundError, ValidationError) as error:
        raise StoreDamagedError(f"run record must be there and whole [{path}]") from error
    if seal_run_record(record) != record:
        raise StoreDamagedError(f"run record must match its own digest [{path}]")
    return record


def seal_run_record(record: RunRecord) -> RunRecord:
    """Return ``record`` with its own digest: of its canonical JSON without that field."""
    body = record.model_dump(mode="json", exclude={"sha256"})
    return record.model_copy(update={"sha256": sha256_hex(canonical_json(body))})


def find_digest_problems(
    store: Place, version: str, *, progress: Callable[[int, int], None] | None = None
) -> list[Problem]:
    """Return what is missing, altered or extra in a version's folder; reads every byte of it.

    Args:
        store: place of the store.
        version: id of the version.
        progress: told how many bytes are checked, and of how many.

    Raises:
        NewerFormatError: if a newer format wrote it.
    """
    try:
        manifest = read_manifest(store, version)
    except StoreNotFoundError as error:
        return [Problem(MANIFEST, str(error), "missing")]
    except StoreDamagedError as error:
        return [Problem(MANIFEST, str(error), "altered")]
    folder = store / version_path(version)
    problems: list[Problem] = []
    sizes = {n: size for n, size in file_sizes(folder).items() if not is_unfinished(n)}
    links = _find_links(folder, sizes)
    problems += [
        Problem(name, "must be a file of the version, got a link", "link") for name in links
    ]
    sizes = {name: size for name, size in sizes.items() if name not in links}
    whole = [e for e in manifest.objects if sizes.get(e.path) == e.size]
    digests: dict[str, str] = {}
    done, total = 0, sum(entry.size for entry in whole)
    hashed = files_sha256([folder / entry.path for entry in whole])
    for entry, digest in zip(whole, hashed, strict=True):
        digests[entry.path] = digest
        done += entry.size
        if progress is not None:
            progress(done, total)
    for entry in manifest.objects:
        size = sizes.get(entry.path)
        if size is None:
            if entry.path not in links:
                problems.append(Problem(entry.path, "must be there", "missing"))
        elif entry.path not in digests:
            problems.append(
                Problem(entry.path, f"must have {entry.size} bytes, got {size}", "altered")
            )
        elif digests[entry.path] != entry.sha256:
            problems.append(
                Problem(entry.path, "must match the SHA-256 in the manifest", "altered")
            )
    if read_object(folder / MANIFEST) != canonical_json(manifest.model_dump(mode="json")):
        problems.append(Problem(MANIFEST, "must be canonical JSON", "altered"))
    try:
        record = read_run_record(store, version)
        if record.version != version:
            problems.append(
                Problem(RUN, f"must be of version {version}, got {record.version}", "altered")
            )
    except StoreDamagedError as error:
        problems.append(Problem(RUN, str(error), "altered"))
    known = {entry.path for entry in manifest.objects} | {MANIFEST, RUN}
    problems += [
        Problem(extra, "must not be there: the manifest does not name it", "extra")
        for extra in sorted(sizes.keys() - known)
    ]
    return problems


def _find_links(folder: Place, names: Iterable[str]) -> list[str]:
    """Return which files of a folder of this machine are links, or lie behind one."""
    if not is_local(folder):
        return []
    whole = os.path.realpath(folder)
    return [
        name
        for name in names
        if os.path.realpath(folder / name) != os.path.join(whole, *name.split("/"))  # noqa: PTH118
    ]
