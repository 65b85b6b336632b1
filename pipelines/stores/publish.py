"""Write a version into a hidden folder, seal it, and let it appear in one rename.

First batches of takes decide on their rows; these make up the segment table, which fixes the place
of every row. Then every chunk of the arrays is written on its own. Both are jobs of plain data that
any worker may do in any order.
"""

import os
import platform
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import pyarrow as pa

from pipelines.config import PrepConfig
from pipelines.parts.keys import PART_VERSIONS
from pipelines.profile.work import WorkMeter
from pipelines.stores.arrays import array_spec, create_arrays
from pipelines.stores.files import file_sha256, write_atomic
from pipelines.stores.masks import write_mask
from pipelines.stores.prepared_takes import PreparedTake
from pipelines.stores.quality_summary import summarise_quality
from pipelines.stores.refs import write_tag
from pipelines.stores.sealed import find_digest_problems, seal_run_record
from pipelines.stores.tables import SegmentWriter, write_quarantine
from pipelines.stores.tally import VersionTally
from pipelines.stores.task_map import TaskMap, run_here
from pipelines.stores.version_jobs import JOB_ROWS, Progress, VersionJobs
from schemas.embedding import EmbeddingSpec
from schemas.errors import PrimusError, StoreDamagedError
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
    version_path,
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
    store: Path,
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
    written and hashed in a folder of another name and appears by one rename, manifest included; a
    run killed before leaves no version. Equal identity means equal bytes, whoever does the jobs
    and however many there are: a version that is there and verifies is kept as it is, a damaged one
    is replaced.

    Args:
        store: folder of the store, made if absent.
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
    hidden = store / "versions" / f".tmp-{uuid4().hex}"
    folder, scratch = hidden / "version", hidden / "scratch"
    try:
        folder.mkdir(parents=True)
        scratch.mkdir()
        tally = VersionTally(max_tokens=encoder.max_tokens if encoder is not None else None)
        with SegmentWriter(folder / SEGMENTS) as table:
            placed = jobs.assemble(takes, scratch=scratch, tally=tally, table=table)
        counts = tally.finish(
            quarantine=quarantine,
            ignored=ignored or {},
            may_share=config.splits.kind == "official",
        )
        if counts.stored == 0:
            unplanned = not counts.planned and config.segments.policy != "stride"
            hint = (
                ": without narrations, segments.policy=stride plans segments" if unplanned else ""
            )
            raise PrimusError(
                f"at least one segment must be stored, got planned {counts.planned}, "
                f"dropped {counts.dropped}, quarantined {counts.quarantined}; nothing published"
                f"{hint}"
            )
        write_quarantine(folder / QUARANTINE, quarantine)
        create_arrays(folder / ARRAYS, spec=arrays, encoder=encoder, rows=counts.stored)
        chunks = jobs.write_arrays(folder / ARRAYS, placed=placed)
        with meter.timed("seal"):
            objects = _seal(folder, sealed=chunks)
        meter.add("seal", items=len(objects) - len(chunks))
        manifest = Manifest(
            dataset=config.dataset.name,
            config=config.identity(),
            sources=tuple(sorted(sources, key=lambda s: (s.take_uid, s.path))),
            encoder=encoder,
            part_versions=dict(PART_VERSIONS),
            imu=arrays,
            counts=counts,
            quality=summarise_quality(folder / SEGMENTS),
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
        write_atomic(folder / RUN, canonical_json(record.model_dump(mode="json")))
        write_atomic(folder / MANIFEST, data)
        reused = _let_appear(folder, store=store, version=version)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    if tag is not None:
        write_tag(store, tag, version=version)
    records = tuple(write_mask(store, version, spec=spec) for spec in masks)
    return PublishedVersion(version=version, manifest=manifest, reused=reused, masks=records)


def _seal(folder: Path, *, sealed: Sequence[ObjectEntry]) -> tuple[ObjectEntry, ...]:
    """Return every file's size and digest, sorted by path; those not ``sealed`` are flushed.

    Raises:
        StoreDamagedError: if a sealed file is not there in its size.
    """
    known = {entry.path: entry for entry in sealed}
    entries = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name, size = path.relative_to(folder).as_posix(), path.stat().st_size
        entry = known.pop(name, None)
        if entry is None:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            entry = ObjectEntry(path=name, size=size, sha256=file_sha256(path))
        elif entry.size != size:
            raise StoreDamagedError(f"{name} must stay at {entry.size} bytes, got {size}")
        entries.append(entry)
    if known:
        raise StoreDamagedError(f"every chunk must be there, got no {min(known)}")
    return tuple(sorted(entries, key=lambda entry: entry.path))


def _let_appear(folder: Path, *, store: Path, version: str) -> bool:
    """Rename ``folder`` to its version; return True if a good one was there already."""
    target = store / version_path(version)
    for _ in range(_ATTEMPTS):
        if target.exists():
            if not find_digest_problems(store, version):
                return True
            aside = target.with_name(f".tmp-{uuid4().hex}")
            target.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
        try:
            folder.rename(target)
        except FileExistsError:
            continue
        except OSError:
            # Another run published the same version in between; look at what it left.
            if target.exists():
                continue
            raise
        return False
    raise StoreDamagedError(f"version must stay as it was published, others rewrite it [{target}]")


_ATTEMPTS = 5
