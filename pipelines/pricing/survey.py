"""What a run would do, counted before it: every take planned, nothing decoded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue, DatasetReader
from pipelines.datasets.mirror import file_size
from pipelines.parts.keys import find_file, fingerprinted_bytes, read_source
from pipelines.parts.store import PartKind, PartStore
from pipelines.planned_take import with_planned_take
from pipelines.pricing.what_is_there import find_parts
from pipelines.segments.policies import TakePlan
from pipelines.storage.faults import storage_faults
from pipelines.take_parts import source_paths, wanted_grid
from schemas.embedding import EmbeddingSpec
from schemas.manifest import SourceEntry
from schemas.narration import Narration
from schemas.take import Take
from schemas.time import Interval, grid_ns

__all__ = ["KnownSources", "TakeCount", "count_frames", "count_samples", "survey_takes"]

KnownSources = Mapping[tuple[str, str], SourceEntry]
"""(take_uid, path): a source whose fingerprint an earlier run recorded."""

# Opening a clock waits for the disk, so that several at a time pay also on few cores.
_AT_A_TIME = 8
_BLOCK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeCount:
    """What one take would cost, in countable things."""

    take_uid: str
    reason: str = ""
    """Why it would be quarantined; empty where nothing says so yet."""
    detail: str = ""
    planned: int = 0
    """Segments planned, planned drops included."""
    rows: int = 0
    """Segments that would be assembled: at most as many are stored."""
    drops: Mapping[str, int] = field(default_factory=dict)
    """Reason: segments dropped by the plan alone."""
    span_ns: int = 0
    variant: str = ""
    """Copy of the picture that is decoded."""
    frames: int = 0
    """Unique grid frames."""
    samples: int = 0
    """Points of the IMU grid."""
    sentences: int = 0
    """Unique ones."""
    files: int = 0
    source_bytes: int = 0
    """Of all its files."""
    video_bytes: int = 0
    imu_bytes: int = 0
    fingerprint_bytes: int = 0
    """Read to tell whether the files are the same."""
    kinds: tuple[PartKind, ...] = ()
    """Parts that it needs."""
    there: Mapping[PartKind, int] = field(default_factory=dict)
    """Bytes of those that are there already."""
    audited: bool | None = False
    """Whether its lag has been measured; None where none is to be."""

    @property
    def missing(self) -> tuple[PartKind, ...]:
        """Parts that are still to be made."""
        return tuple(kind for kind in self.kinds if kind not in self.there)

    @property
    def done(self) -> bool:
        """Whether nothing expensive is left to do."""
        return not self.reason and not self.missing


def survey_takes(
    config: PrepConfig,
    *,
    reader: DatasetReader,
    catalogue: Catalogue,
    spec: EmbeddingSpec | None,
    known: KnownSources | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[TakeCount]:
    """Count what each take of the catalogue would cost, in the catalogue's order.

    Clocks are opened and segments planned as a run does it. Files are fingerprinted only where
    the parts folder holds anything that they might be the source of; whether a part verifies is
    left to the run.

    Args:
        config: of the run.
        reader: of the dataset.
        catalogue: its takes and narrations.
        spec: of the run's encoder; None without one.
        known: fingerprints to trust for files of the same size, instead of reading these.
        progress: told how many takes are counted.
    """
    parts = PartStore(config.parts_root)
    with storage_faults(parts.root):
        any_part = any((parts.root / k).is_dir() for k in ("imu", "raw_imu", "frames", "text"))
    count = partial(
        _count_or_fault,
        config=config,
        reader=reader,
        catalogue=catalogue,
        spec=spec,
        parts=parts if any_part else None,
        known=known or {},
    )
    counts: list[TakeCount] = []
    with ThreadPoolExecutor(max_workers=_AT_A_TIME) as pool:
        for block in _blocks(catalogue.takes):
            for one in pool.map(count, block):
                counts.append(one)
                if progress is not None:
                    progress(len(counts))
    return counts


def count_frames(plan: TakePlan, *, span: Interval, config: PrepConfig) -> int:
    """Return how many grid frames of a take a run would embed, each once."""
    wanted = wanted_grid(plan, config=config)
    return len(grid_ns(span, step_ns=config.video.step_ns) if wanted is None else wanted)


def count_samples(span: Interval, *, config: PrepConfig) -> int:
    """Return how many points the IMU grid of a take has."""
    return len(grid_ns(span, step_ns=config.imu.step_ns))


def _blocks(takes: Sequence[Take]) -> Iterable[list[Take]]:
    # Submitted by and by: a pool takes all of its work at once.
    rest = iter(takes)
    while block := list(islice(rest, _BLOCK)):
        yield block


def _count_or_fault(
    take: Take,
    *,
    config: PrepConfig,
    reader: DatasetReader,
    catalogue: Catalogue,
    spec: EmbeddingSpec | None,
    parts: PartStore | None,
    known: KnownSources,
) -> TakeCount:
    counted = with_planned_take(
        take,
        catalogue=catalogue,
        reader=reader,
        config=config,
        do=lambda planned: _count(
            take,
            span=planned.clock.span,
            plan=planned.plan,
            narrations=planned.narrations,
            config=config,
            spec=spec,
            parts=parts,
            known=known,
        ),
    )
    if isinstance(counted, TakeCount):
        return counted
    return TakeCount(
        take_uid=take.take_uid,
        reason=counted.reason,
        detail=counted.detail,
        planned=counted.segments,
    )


def _count(
    take: Take,
    *,
    span: Interval,
    plan: TakePlan,
    narrations: Sequence[Narration],
    config: PrepConfig,
    spec: EmbeddingSpec | None,
    parts: PartStore | None,
    known: KnownSources,
) -> TakeCount:
    drops = dict(plan.drops)
    if plan.rows.is_empty():
        # Nothing of it is stored, so nothing of it is read.
        return TakeCount(
            take_uid=take.take_uid, planned=plan.planned, drops=drops, span_ns=span.duration_ns
        )
    root, follow_links = config.dataset.root, config.dataset.follow_links
    sizes = {
        path: file_size(root, find_file(root, path, follow_links=follow_links))
        for path in source_paths(take)
    }
    found = find_parts(
        take,
        plan=plan,
        narrations=narrations,
        config=config,
        spec=spec,
        parts=parts,
        source=lambda path: _source(take, path, size=sizes[path], config=config, known=known),
    )
    picture = "frames" in found.kinds
    return TakeCount(
        take_uid=take.take_uid,
        planned=plan.planned,
        rows=plan.rows.height,
        drops=drops,
        span_ns=span.duration_ns,
        variant=take.video.variant if take.video is not None and picture else "",
        frames=count_frames(plan, span=span, config=config) if picture else 0,
        samples=count_samples(span, config=config) if take.imu is not None else 0,
        sentences=len({n.text for n in narrations if n.text}) if "text" in found.kinds else 0,
        files=len(sizes),
        source_bytes=sum(sizes.values()),
        video_bytes=sum(sizes[path] for path in (take.video.paths if take.video else ())),
        imu_bytes=sum(sizes[path] for path in (take.imu.paths if take.imu else ())),
        fingerprint_bytes=sum(fingerprinted_bytes(size) for size in sizes.values()),
        kinds=found.kinds,
        there=found.there,
        audited=found.audited,
    )


def _source(
    take: Take, path: str, *, size: int, config: PrepConfig, known: KnownSources
) -> SourceEntry:
    recorded = known.get((take.take_uid, path))
    if recorded is not None and recorded.size == size:
        return recorded
    return read_source(
        config.dataset.root, take.take_uid, path, follow_links=config.dataset.follow_links
    )
