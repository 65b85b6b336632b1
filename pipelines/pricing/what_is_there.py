"""Which of a take's parts lie in the parts folder already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.config import PrepConfig
from pipelines.parts.store import PartKind, PartStore
from pipelines.segments.policies import TakePlan
from pipelines.storage.faults import storage_faults
from pipelines.storage.places import Place
from pipelines.stores.refs import list_versions
from pipelines.stores.sync_record import sync_record_path
from pipelines.stores.verify import read_manifest
from pipelines.take_parts import part_keys, source_paths
from schemas.embedding import EmbeddingSpec
from schemas.errors import PrimusError
from schemas.manifest import SourceEntry
from schemas.narration import Narration
from schemas.take import Take

__all__ = ["FoundParts", "find_parts", "read_known_sources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundParts:
    """The parts a take needs, and those that are there."""

    kinds: tuple[PartKind, ...]
    there: Mapping[PartKind, int]
    """Bytes, by kind."""
    audited: bool | None
    """Whether the lag between its imu and frames parts is on record; None where nobody asks."""


def find_parts(
    take: Take,
    *,
    plan: TakePlan,
    narrations: Sequence[Narration],
    config: PrepConfig,
    spec: EmbeddingSpec | None,
    parts: PartStore | None,
    source: Callable[[str], SourceEntry],
) -> FoundParts:
    """Return which parts a take needs and which of these lie in the folder.

    Presence alone is looked at: a run reads each part through and makes a damaged one again.

    Args:
        take: as the catalogue has it.
        plan: its segments.
        narrations: of it, cleaned.
        config: of the run.
        spec: of the run's encoder; None without one.
        parts: folder to look into; None where there is none, and no source is read then.
        source: gives size and fingerprint of a file of the take.
    """
    paths = source_paths(take)
    sources = {
        path: source(path) if parts is not None else _unread(take.take_uid, path) for path in paths
    }
    keys = part_keys(
        take, plan=plan, sources=sources, narrations=narrations, config=config, spec=spec
    )
    measured = config.audit.enabled and {"imu", "frames"} <= keys.keys()
    if parts is None:
        return FoundParts(kinds=tuple(keys), there={}, audited=False if measured else None)
    there: dict[PartKind, int] = {}
    for kind, key in keys.items():
        path = parts.path(kind, key)
        with storage_faults(path):
            if path.is_file():
                there[kind] = path.stat().st_size
    audited: bool | None = None
    if measured:
        record = sync_record_path(
            parts, imu_key=keys["imu"], frames_key=keys["frames"], config=config.audit
        )
        with storage_faults(record):
            audited = record.is_file()
    return FoundParts(kinds=tuple(keys), there=there, audited=audited)


def read_known_sources(store: Place) -> dict[tuple[str, str], SourceEntry]:
    """Return the sources that the store's versions were made from, by take and path."""
    known: dict[tuple[str, str], SourceEntry] = {}
    for version in list_versions(store):
        try:
            manifest = read_manifest(store, version)
        except PrimusError:
            # A damaged version tells nothing; its files are fingerprinted like new ones.
            continue
        known.update({(s.take_uid, s.path): s for s in manifest.sources})
    return known


def _unread(take_uid: str, path: str) -> SourceEntry:
    return SourceEntry(take_uid=take_uid, path=path, size=0, fingerprint="")
