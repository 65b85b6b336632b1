"""Write a version into a hidden folder, seal it, and let it appear under its id.

First batches of takes decide on their rows; these make up the segment table, which fixes the place
of every row. Then every chunk of the arrays is written on its own. Both are jobs of plain data that
any worker may do in any order.
"""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

import pyarrow as pa

from pipelines.config import PrepConfig
from pipelines.parts.keys import PART_VERSIONS
from pipelines.profile.work import WorkMeter
from pipelines.storage.faults import storage_faults
from pipelines.storage.files import file_sha256, write_atomic
from pipelines.storage.places import Place
from pipelines.stores.appear import Staged, let_appear, stage
from pipelines.stores.arrays import array_spec, create_arrays
from pipelines.stores.blueprint import BlueprintWriter
from pipelines.stores.contents import file_sizes
from pipelines.stores.hidden import hidden_folder
from pipelines.stores.masks import write_mask
from pipelines.stores.pool_frames import NO_DIRECTION
from pipelines.stores.prepared_takes import PreparedTake
from pipelines.stores.quality_summary import summarise_quality
from pipelines.stores.refs import write_tag
from pipelines.stores.sealed import seal_run_record
from pipelines.stores.tables import SegmentWriter, write_quarantine
from pipelines.stores.tally import VersionTally
from pipelines.stores.task_map import TaskMap, run_here
from pipelines.stores.version_jobs import JOB_ROWS, Progress, VersionJobs
from schemas.embedding import EmbeddingSpec
from schemas.errors import PrimusError, StoreDamagedError, TakeError
from schemas.manifest import Counts, Manifest, ObjectEntry, RunRecord, SourceEntry
from schemas.mask import MaskRecord, MaskSpec
from schemas.store import (
    ARRAYS,
    MANIFEST,
    QUARANTINE,
    RUN,
    SEGMENTS,
    canonical_json,
    sha256_hex,
    version_id,
)

__all__ = ["PublishedVersion", "publish_version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedVersion:
    """What ``publish_version`` made or found made already."""

    version: str
    manifest: Manifest
    reused: bool
    """True where the same version was there already and verified."""
    masks: tuple[MaskRecord, ...]

    @property
    def counts(self) -> Counts:
        """Segments planned, stored, dropped and quarantined."""
        return self.manifest.counts


def publish_version(
    store: Place,
    *,
    takes: Iterable[PreparedTake],
    config: PrepConfig,
    encoder: EmbeddingSpec | None,
    sources: Sequence[SourceEntry],
    quarantine: pa.Table,
    run: RunRecord,
    ignored: Mapping[str, int] | None = None,
    tag: str | None = None,
    masks: Sequence[MaskSpec] = (),
    run_tasks: TaskMap = run_here,
    job_rows: int = JOB_ROWS,
    meter: WorkMeter | None = None,
    progress: Progress | None = None,
) -> PublishedVersion:
    """Write the version that the segments of ``takes`` make up, then its tag, then its masks.

    Memory is bounded by a batch's rows here and by two chunks and a take in each job. Everything is
    written and hashed in a folder of another name and appears with its manifest; a run killed
    before leaves no version. Equal identity means equal bytes, whoever does the jobs and however
    many there are: a version that is there and verifies is kept as it is, a damaged one is mended.

    Args:
        store: place of the store, made if absent; others may publish there at the same time.
        takes: in ascending take_uid.
        config: of the run; its identity goes into the manifest.
        encoder: that made the embeddings; None for a version of IMU alone.
        sources: files of the takes that were prepared, in any order.
        quarantine: ``QUARANTINE_SCHEMA``, in any order.
        run: what is known of the run; version, times, host and digests are filled in here.
        ignored: annotations not used, by reason.
        tag: to set to the version; None sets none.
        masks: to publish with it.
        run_tasks: who does the jobs; its workers must see ``store`` and the parts.
        job_rows: rows of a job, about.
        meter: told what ``assemble``, ``arrays`` and ``seal`` did, over all workers.
        progress: told of every job that ends.

    Raises:
        PrimusError: if not one segment is stored; nothing is published.
        StorageError: if the store has no room, no permission or no answer; nothing is published.
        UsageError: if a mask's name is taken by another recipe.
    """
    began = perf_counter()
    arrays = array_spec(config)
    meter = meter if meter is not None else WorkMeter()
    jobs = VersionJobs(
        config=config,
        encoder=encoder,
        spec=arrays,
        run_tasks=run_tasks,
        rows=job_rows,
        meter=meter,
        progress=progress,
    )

    def fill(staged: Staged, *, pooled: bool) -> tuple[Counts, list[ObjectEntry]]:
        """Have every file but the last two written; return the counts and the chunks."""
        tally = VersionTally(max_tokens=encoder.max_tokens if encoder is not None else None)
        with SegmentWriter(staged.work / SEGMENTS, fields=staged.work_fields) as table:
            if pooled:
                placed = jobs.assemble_pooled(scratch=staged.scratch, tally=tally, table=table)
            else:
                followed = blueprint.follow(takes)
                placed = jobs.assemble(followed, scratch=staged.scratch, tally=tally, table=table)
        counts = tally.finish(
            quarantine=quarantine,
            ignored=ignored or {},
            may_share=config.splits.kind == "official",
        )
        _check_stored(counts, config=config)
        with storage_faults(staged.work, fields=staged.work_fields):
            write_quarantine(staged.work / QUARANTINE, quarantine)
            create_arrays(staged.work / ARRAYS, spec=arrays, encoder=encoder, rows=counts.stored)
        return counts, jobs.write_arrays(staged.folder / ARRAYS, placed=placed)

    with (
        hidden_folder(store) as hidden,
        ExitStack() as stages,
        BlueprintWriter() as blueprint,
    ):
        staged = stages.enter_context(stage(hidden, "first"))
        try:
            counts, chunks = fill(staged, pooled=False)
        except TakeError as error:
            if error.code not in NO_DIRECTION:
                raise
            # Once in very many versions: rows are decided on again, those without direction left
            # out. Workers may still be at the first ones, so nothing of theirs is used.
            staged = stages.enter_context(stage(hidden, "pooled"))
            counts, chunks = fill(staged, pooled=True)
        with meter.timed("seal"), storage_faults(staged.work, fields=staged.work_fields):
            objects = _seal(staged, chunks=chunks)
        meter.add("seal", items=len(objects) - len(chunks))
        manifest = Manifest(
            dataset=config.dataset.name,
            config=config.identity(),
            sources=tuple(sorted(sources, key=lambda s: (s.take_uid, s.path))),
            encoder=encoder,
            part_versions=dict(PART_VERSIONS),
            imu=arrays,
            counts=counts,
            quality=summarise_quality(staged.work / SEGMENTS),
            objects=objects,
        )
        identity = manifest.model_dump(mode="json")
        data = canonical_json(identity)
        version = version_id(identity)
        seconds = {**run.seconds, "publish": round(perf_counter() - began, 3)}
        filled = {
            "version": version,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "seconds": seconds,
            "manifest_sha256": sha256_hex(data),
        }
        record = seal_run_record(run.model_copy(update=filled))
        told = canonical_json(record.model_dump(mode="json"))
        write_atomic(staged.work / RUN, told)
        write_atomic(staged.work / MANIFEST, data)
        # Before the version is there, so that none is without.
        blueprint.write(config, version=version, manifest=data, run=told, quarantine=quarantine)
        reused = let_appear(staged, store=store, version=version)
    if tag is not None:
        write_tag(store, tag, version=version)
    records = tuple(write_mask(store, version, spec=spec) for spec in masks)
    return PublishedVersion(version=version, manifest=manifest, reused=reused, masks=records)


def _check_stored(counts: Counts, *, config: PrepConfig) -> None:
    if counts.stored:
        return
    unplanned = not counts.planned and config.segments.policy != "stride"
    hint = ": without narrations, segments.policy=stride plans segments" if unplanned else ""
    raise PrimusError(
        f"at least one segment must be stored, got planned {counts.planned}, "
        f"dropped {counts.dropped}, quarantined {counts.quarantined}; nothing published{hint}"
    )


def _seal(staged: Staged, *, chunks: Sequence[ObjectEntry]) -> tuple[ObjectEntry, ...]:
    """Return every file's size and digest, sorted by path; those that are no chunk are flushed.

    Raises:
        StoreDamagedError: if a chunk is not there in its size.
    """
    there = file_sizes(staged.folder)
    for entry in sorted(chunks, key=lambda entry: entry.path):
        if (size := there.get(entry.path)) is None:
            raise StoreDamagedError(f"every chunk must be there, got no {entry.path}")
        if size != entry.size:
            raise StoreDamagedError(f"{entry.path} must stay at {entry.size} bytes, got {size}")
    entries = list(chunks)
    known = {entry.path for entry in chunks}
    for name, size in file_sizes(staged.work).items():
        if name not in known:
            path = staged.work / name
            with path.open("rb") as file:
                os.fsync(file.fileno())
            entries.append(ObjectEntry(path=name, size=size, sha256=file_sha256(path)))
    return tuple(sorted(entries, key=lambda entry: entry.path))
