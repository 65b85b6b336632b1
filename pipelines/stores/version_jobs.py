"""The jobs of a version: cut for any number of workers, their results put together in order."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from pipelines.config import PrepConfig
from pipelines.profile.work import WorkMeter
from pipelines.storage.files import local_copy
from pipelines.storage.places import Place, open_place
from pipelines.stores.arrays import chunk_rows
from pipelines.stores.assemble_batch import assemble_batch
from pipelines.stores.chunk_job import write_chunks
from pipelines.stores.contents import sent_file
from pipelines.stores.prepared_takes import PreparedTake, write_takes
from pipelines.stores.tables import SegmentWriter
from pipelines.stores.tally import VersionTally
from pipelines.stores.task_map import Job, TaskMap
from schemas.embedding import EmbeddingSpec
from schemas.manifest import ArraySpec, ObjectEntry

__all__ = ["JOB_ROWS", "PlacedTake", "Progress", "VersionJobs"]

JOB_ROWS: Final = 16_384
"""A job is then seconds of work: far above what handing one out costs."""

# A batch of takes ends here too, however few segments they plan: each has its parts to read.
_TAKES: Final = 256

Progress = Callable[[str, int, int], None]
"""Told the stage (``assemble`` or ``arrays``), how many of its takes or segments are done, and how
many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedTake:
    """Where the rows of a take with any stored lie, and what fills their arrays."""

    file: str
    """Rows of its batch."""
    batch: int
    """Its record batch in the file."""
    rows: int
    keys: Mapping[str, str | None]
    windows: str | None


class VersionJobs:
    """Hands out a version's jobs; their number and order change nothing of what comes out."""

    def __init__(
        self,
        *,
        config: PrepConfig,
        encoder: EmbeddingSpec | None,
        spec: ArraySpec,
        run_tasks: TaskMap,
        rows: int,
        meter: WorkMeter,
        progress: Progress | None,
    ) -> None:
        if rows < 1:
            raise ValueError(f"a job must have at least one row, got {rows}")
        self._meter = meter
        self._run: Job = {
            "config": config.model_dump(mode="json"),
            "encoder": encoder.model_dump(mode="json") if encoder is not None else None,
        }
        self._spec = spec.model_dump(mode="json")
        self._stride = config.segments.policy == "stride"
        self._stride_ns = config.segments.stride_ns
        self._run_tasks = run_tasks
        self._rows = rows
        self._progress = progress
        self._batch_jobs: list[Job] = []
        self._batch_keys: list[list[dict[str, str | None]]] = []

    def assemble(
        self,
        takes: Iterable[PreparedTake],
        *,
        scratch: Place,
        tally: VersionTally,
        table: SegmentWriter,
        pooled: bool = False,
    ) -> list[PlacedTake]:
        """Have every take decide on its rows; write them to ``table`` and count them.

        Args:
            takes: in ascending take_uid.
            scratch: folder of the files that jobs leave for each other.
            tally: counts of the version.
            table: of the version.
            pooled: whether rows are decided with a look at the pooled embeddings: the same rows
                wherever every embedding has a direction.

        Returns:
            The takes with rows, in row order.

        Raises:
            ValueError: if a take comes late.
        """
        jobs: list[Job] = []
        keys: list[list[dict[str, str | None]]] = []
        for number, batch in enumerate(self._batches(takes)):
            narrations = scratch / f"{number:06d}.narrations.arrow"
            with sent_file(narrations) as file:
                plain = write_takes(file, batch)
            jobs.append(
                {
                    "index": number,
                    "takes": plain,
                    "narrations": str(narrations),
                    "rows": str(scratch / f"{number:06d}.rows.arrow"),
                    "pooled": pooled,
                    **self._run,
                }
            )
            keys.append(
                [
                    {"imu": take.imu_key, "frames": take.frames_key, "text": take.text_key}
                    for take in batch
                ]
            )
        self._batch_jobs, self._batch_keys = jobs, keys
        return self._place(jobs, tally=tally, table=table)

    def assemble_pooled(
        self, *, scratch: Place, tally: VersionTally, table: SegmentWriter
    ) -> list[PlacedTake]:
        """Have the same takes decide once more, with a look at the pooled embeddings.

        Args:
            scratch: another folder than before: jobs that were given up may still read there.
            tally: a new one.
            table: a new one.
        """
        jobs = [
            {
                **job,
                "rows": str(scratch / f"{job['index']:06d}.rows.arrow"),
                "pooled": True,
            }
            for job in self._batch_jobs
        ]
        return self._place(jobs, tally=tally, table=table)

    def _place(
        self, jobs: Sequence[Job], *, tally: VersionTally, table: SegmentWriter
    ) -> list[PlacedTake]:
        keys = self._batch_keys
        sizes = [len(some) for some in keys]
        results = self._do(assemble_batch, jobs, stage="assemble", sizes=sizes)
        placed: list[PlacedTake] = []
        for job, result, some in zip(jobs, results, keys, strict=True):
            for number, (entry, kinds) in enumerate(zip(result["takes"], some, strict=True)):
                tally.add(rows=entry["rows"], planned=entry["planned"], drops=entry["drops"])
                if entry["rows"]:
                    place = PlacedTake(
                        file=job["rows"],
                        batch=number,
                        rows=entry["rows"],
                        keys=kinds,
                        windows=entry["windows"],
                    )
                    placed.append(place)
            with (
                local_copy(open_place(job["rows"])) as copy,
                pa.OSFile(str(copy)) as source,
                pa.ipc.open_file(source) as reader,
            ):
                rows = reader.read_all()
            tally.add_rows(rows)
            table.write(rows)
        return placed

    def write_arrays(self, path: Place, *, placed: Sequence[PlacedTake]) -> list[ObjectEntry]:
        """Have every chunk of the arrays in ``path`` written; return the files, in any order."""
        chunks = list(_chunks(placed))
        size = max(1, self._rows // max(chunk["high"] - chunk["low"] for chunk in chunks))
        jobs = [
            {
                "index": number,
                "arrays": str(path),
                "spec": self._spec,
                "chunks": chunks[first : first + size],
                **self._run,
            }
            for number, first in enumerate(range(0, len(chunks), size))
        ]
        sizes = [sum(c["high"] - c["low"] for c in job["chunks"]) for job in jobs]
        results = self._do(write_chunks, jobs, stage="arrays", sizes=sizes)
        return [ObjectEntry(**entry) for result in results for entry in result["objects"]]

    def _batches(self, takes: Iterable[PreparedTake]) -> Iterator[list[PreparedTake]]:
        held: list[PreparedTake] = []
        planned, before = 0, ""
        for take in takes:
            uid = take.take.take_uid
            if uid <= before:
                raise ValueError(f"takes must come in ascending take_uid, got {uid} late")
            before = uid
            held.append(take)
            planned += self._segments(take)
            if planned >= self._rows or len(held) == _TAKES:
                yield held
                held, planned = [], 0
        if held:
            yield held

    def _segments(self, take: PreparedTake) -> int:
        if self._stride:
            return take.span.duration_ns // self._stride_ns
        return len(take.narrations)

    def _do(
        self,
        function: Callable[[Job], Job],
        jobs: Sequence[Job],
        *,
        stage: str,
        sizes: Sequence[int],
    ) -> list[Job]:
        """Return the results in the jobs' order, whichever they came in."""
        found: dict[int, Job] = {}
        done = 0
        for result in self._run_tasks(function, jobs):
            found[result["index"]] = result
            done += sizes[result["index"]]
            for name, work in result["work"].items():
                self._meter.add(name, **work)
            if self._progress is not None:
                self._progress(stage, done, sum(sizes))
        return [found[number] for number in range(len(jobs))]


def _chunks(placed: Sequence[PlacedTake]) -> Iterator[dict[str, Any]]:
    """Yield each chunk's rows and the pieces of takes that fill it."""
    number, used = 0, 0
    for low, high in chunk_rows(sum(take.rows for take in placed)):
        pieces = []
        left = high - low
        while left:
            take = placed[number]
            size = min(left, take.rows - used)
            pieces.append(
                {
                    "rows": take.file,
                    "batch": take.batch,
                    "low": used,
                    "high": used + size,
                    "keys": dict(take.keys),
                    "windows": take.windows,
                }
            )
            left, used = left - size, used + size
            if used == take.rows:
                number, used = number + 1, 0
        yield {"low": low, "high": high, "pieces": pieces}
