"""A job of publishing: the rows of a batch of takes, written to one file for the driver."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.config import PrepConfig
from pipelines.encoders.registry import open_pooler
from pipelines.encoders.torch_threads import one_torch_thread
from pipelines.parts.store import PartKind, PartStore
from pipelines.profile.work import WorkMeter
from pipelines.storage.files import local_copy
from pipelines.storage.places import Place, open_place
from pipelines.stores.assemble import TakeRows, assemble_take
from pipelines.stores.contents import sent_file
from pipelines.stores.prepared_takes import PreparedTake, read_takes
from pipelines.stores.task_map import Job
from schemas.embedding import EmbeddingSpec
from schemas.segment import SEGMENT_SCHEMA

__all__ = ["assemble_batch"]


def assemble_batch(job: Job) -> Job:
    """Decide on the rows of some takes; repeating it writes the same files again.

    Args:
        job: ``index``; ``takes``, as ``write_takes`` gives them, with their ``narrations`` file;
            ``rows``, the file to write: ``SEGMENT_SCHEMA``, a record batch a take; ``config`` and
            ``encoder`` of the run; ``pooled``, as ``assemble_take`` takes it.

    Returns:
        ``index``; ``takes``, for each the number of ``rows``, ``planned`` segments, ``drops`` and
        the file of its ``windows`` (None but where each is resampled by itself); ``work``.

    Raises:
        StoreDamagedError: if a part is missing or altered.
        StorageError: if there is no room for the rows.
    """
    config = PrepConfig.model_validate(job["config"])
    spec = EmbeddingSpec.model_validate(job["encoder"]) if job["encoder"] is not None else None
    parts = PartStore(config.parts_root)
    place = open_place(job["rows"])
    pooler = open_pooler(config) if job["pooled"] else None
    meter = WorkMeter()
    takes: list[dict[str, Any]] = []

    def rows() -> Iterator[pa.RecordBatch]:
        with local_copy(open_place(job["narrations"])) as file:
            batch_takes = read_takes(file, job["takes"])
        for prepared in batch_takes:
            with meter.timed("assemble"), one_torch_thread():
                found = assemble_take(
                    prepared,
                    parts=parts,
                    config=config,
                    encoder=spec,
                    pooled=job["pooled"],
                    pooler=pooler,
                )
                windows = _write_windows(place, len(takes), found)
            meter.add(
                "assemble",
                items=found.planned,
                bytes_in=_bytes_read(prepared, parts=parts) if found.planned else 0,
            )
            takes.append(
                {
                    "rows": len(found),
                    "planned": found.planned,
                    "drops": dict(found.drops),
                    "windows": windows,
                }
            )
            (batch,) = found.table.combine_chunks().to_batches() or [_NOTHING]
            yield batch

    with sent_file(place) as path:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SEGMENT_SCHEMA) as writer:
            for batch in rows():
                writer.write_batch(batch)
        meter.add("assemble", bytes_out=path.stat().st_size)
    work = {stage: done.model_dump() for stage, done in meter.work().items()}
    return {"index": job["index"], "takes": takes, "work": work}


_NOTHING = pa.RecordBatch.from_pylist([], schema=SEGMENT_SCHEMA)


def _write_windows(rows: Place, number: int, found: TakeRows) -> str | None:
    if found.windows is None:
        return None
    place = rows.with_suffix(f".{number}.npy")
    # Not by its name: NumPy's own writing does not say that a disk is full.
    with sent_file(place) as path, pa.OSFile(str(path), "wb") as file:
        np.save(file, found.windows, allow_pickle=False)
    return str(place)


def _bytes_read(prepared: PreparedTake, *, parts: PartStore) -> int:
    """Return the size of the parts that are read whole: all but the embeddings."""
    keys: tuple[tuple[PartKind, str | None], ...] = (
        ("imu", prepared.imu_key),
        ("raw_imu", prepared.raw_imu_key),
    )
    return sum(parts.path(kind, key).stat().st_size for kind, key in keys if key is not None)
