"""Check what a manifest says of itself: sums of its counts, order of its lists, its run record."""

from pipelines.storage.places import Place
from pipelines.stores.arrays import array_layout
from pipelines.stores.sealed import read_run_record
from schemas.errors import Problem, StoreDamagedError
from schemas.manifest import Manifest
from schemas.store import (
    ARRAYS,
    MANIFEST,
    QUARANTINE,
    ROWS_PER_CHUNK,
    RUN,
    SEGMENTS,
    canonical_json,
    sha256_hex,
)

__all__ = ["expected_objects", "find_manifest_problems"]


def expected_objects(manifest: Manifest) -> list[str]:
    """Return the paths of all objects that a version of these counts consists of, sorted."""
    paths = [SEGMENTS, QUARANTINE, f"{ARRAYS}/zarr.json"]
    chunks = -(-manifest.counts.stored // ROWS_PER_CHUNK)
    for name, (_, row) in array_layout(manifest.imu, encoder=manifest.encoder).items():
        paths.append(f"{ARRAYS}/{name}/zarr.json")
        rest = "/0" * len(row)
        paths += [f"{ARRAYS}/{name}/c/{number}{rest}" for number in range(chunks)]
    return sorted(paths)


def find_manifest_problems(store: Place, version: str, *, manifest: Manifest) -> list[Problem]:
    """Return what is wrong with a manifest that has its id, and with its run record's tie to it."""
    problems: list[Problem] = []
    counts = manifest.counts
    dropped, quarantined = sum(counts.dropped.values()), sum(counts.quarantined.values())
    total = counts.stored + dropped + quarantined
    if counts.planned != total:
        message = (
            f"counts.planned must be stored + dropped + quarantined = {total}, got {counts.planned}"
        )
        problems.append(Problem(MANIFEST, message, "counts"))
    named = [entry.path for entry in manifest.objects]
    if named != sorted(set(named)):
        problems.append(Problem(MANIFEST, "objects must be sorted, each once", "order"))
    sources = [(source.take_uid, source.path) for source in manifest.sources]
    if sources != sorted(sources):
        problems.append(Problem(MANIFEST, "sources must be sorted by take and path", "order"))
    wanted = set(expected_objects(manifest))
    problems += [
        Problem(path, "must be named in the manifest, and be there", "missing")
        for path in sorted(wanted - set(named))
    ]
    problems += [
        Problem(path, f"must not be named in the manifest of {counts.stored} rows", "extra")
        for path in sorted(set(named) - wanted)
    ]
    try:
        record = read_run_record(store, version)
    except StoreDamagedError:
        return problems  # has been said with the digests
    if record.manifest_sha256 != sha256_hex(canonical_json(manifest.model_dump(mode="json"))):
        problems.append(Problem(RUN, "manifest_sha256 must be that of the manifest", "altered"))
    return problems
