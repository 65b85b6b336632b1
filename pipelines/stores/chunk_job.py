"""A job of publishing: whole chunks of every array, from the parts of the takes they hold."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.config import PrepConfig
from pipelines.encoders.base import FramePooler
from pipelines.encoders.registry import open_pooler
from pipelines.encoders.torch_threads import one_torch_thread
from pipelines.parts.store import PartStore
from pipelines.profile.work import WorkMeter
from pipelines.storage.files import local_copy
from pipelines.storage.places import open_place
from pipelines.stores.arrays import Chunk, array_layout, make_chunk, write_chunk
from pipelines.stores.take_arrays import ROW_COLUMNS, fill_rows
from pipelines.stores.task_map import Job
from schemas.embedding import EmbeddingSpec
from schemas.manifest import ArraySpec
from schemas.segment import SEGMENT_SCHEMA
from schemas.store import ARRAYS

__all__ = ["write_chunks"]


def write_chunks(job: Job) -> Job:
    """Fill and write some chunks; repeating it writes the same files again.

    One chunk is filled while the one before goes to disk: memory is bounded by two chunks and what
    is held of one take.

    Args:
        job: ``index``; ``arrays``, the group's place; ``spec``, ``config`` and ``encoder`` of the
            version; ``chunks``, for each its rows ``low`` to ``high`` and its ``pieces``: rows
            ``low`` to ``high`` of record batch ``batch`` of the file ``rows``, with the ``keys``
            of the take's parts and the file of its ``windows``.

    Returns:
        ``index``; ``objects``: path, size and SHA-256 of each file written; ``work``.

    Raises:
        StoreDamagedError: if a part is missing or altered.
        StorageError: if there is no room for a chunk, or no answer.
        TakeError: if an embedding has no direction.
    """
    config = PrepConfig.model_validate(job["config"])
    spec = ArraySpec.model_validate(job["spec"])
    encoder = EmbeddingSpec.model_validate(job["encoder"]) if job["encoder"] is not None else None
    layout = array_layout(spec, encoder=encoder)
    parts = PartStore(config.parts_root)
    pooler = open_pooler(config)
    meter = WorkMeter()
    objects: list[dict[str, Any]] = []
    arrays = open_place(job["arrays"])

    def write(chunk: Chunk, low: int) -> None:
        with meter.timed("seal"):
            written = write_chunk(arrays, chunk, low=low)
        size = sum(size for _, size, _ in written)
        meter.add("seal", items=len(written), bytes_out=size)
        meter.add("arrays", bytes_out=size)
        objects.extend(
            {"path": f"{ARRAYS}/{path}", "size": size, "sha256": digest}
            for path, size, digest in written
        )

    # A take's sums are too small to share among threads: they would wait for each other.
    with (
        one_torch_thread(),
        ExitStack() as copies,
        ThreadPoolExecutor(max_workers=1) as writer,
    ):
        scratch = _Scratch(copies)
        writing: Future[None] | None = None
        for plan in job["chunks"]:
            with meter.timed("arrays"):
                chunk = make_chunk(layout, rows=plan["high"] - plan["low"])
                at = 0
                for piece in plan["pieces"]:
                    end = at + piece["high"] - piece["low"]
                    here = {name: values[at:end] for name, values in chunk.items()}
                    _fill(
                        here,
                        piece,
                        scratch=scratch,
                        parts=parts,
                        step_ns=config.imu.step_ns,
                        pooler=pooler,
                    )
                    meter.add("arrays", bytes_in=_size(piece, parts=parts))
                    at = end
            meter.add("arrays", items=at)
            if writing is not None:
                writing.result()
            writing = writer.submit(write, chunk, plan["low"])
        if writing is not None:
            writing.result()
    work = {stage: done.model_dump() for stage, done in meter.work().items()}
    return {"index": job["index"], "objects": objects, "work": work}


class _Scratch:
    """Files that other jobs left, on this machine; each is fetched once a job."""

    def __init__(self, copies: ExitStack) -> None:
        self._copies = copies
        self._files: dict[str, Path] = {}

    def file(self, uri: str) -> Path:
        if uri not in self._files:
            self._files[uri] = self._copies.enter_context(local_copy(open_place(uri)))
        return self._files[uri]


def _fill(
    out: Chunk,
    piece: Mapping[str, Any],
    *,
    scratch: _Scratch,
    parts: PartStore,
    step_ns: int,
    pooler: FramePooler | None,
) -> None:
    fields = [SEGMENT_SCHEMA.get_field_index(name) for name in ROW_COLUMNS]
    options = pa.ipc.IpcReadOptions(included_fields=fields)
    with (
        pa.OSFile(str(scratch.file(piece["rows"]))) as file,
        pa.ipc.open_file(file, options=options) as reader,
    ):
        rows = reader.get_batch(piece["batch"])
    windows = piece["windows"]
    fill_rows(
        out,
        rows.slice(piece["low"], piece["high"] - piece["low"]),
        parts=parts,
        keys=piece["keys"],
        step_ns=step_ns,
        windows=scratch.file(windows) if windows is not None else None,
        low=piece["low"],
        pooler=pooler,
    )


def _size(piece: Mapping[str, Any], *, parts: PartStore) -> int:
    keys = piece["keys"]
    return sum(
        parts.path(kind, keys[kind]).stat().st_size
        for kind in ("imu", "frames", "text")
        if keys[kind] is not None
    )
