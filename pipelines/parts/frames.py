"""The frames part: one embedding a grid frame of a take, made in one pass over the video.

On one thread the pictures are decoded, encoded and measured in turn. On several the decoder runs
ahead in a thread of its own, and batches are encoded side by side, each on one torch thread in one
fixed shape: the bits do not depend on how many there are. A GPU is fed by one thread, while the
others decode and measure. A handful of batches is under way at any time, however long the take.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.config import VideoConfig
from pipelines.encoders.base import FrozenEncoder
from pipelines.encoders.torch_threads import one_torch_thread, use_one_torch_thread
from pipelines.parts.frame_chunks import (
    FrameChunk,
    decode_chunks,
    make_thumbnails,
    measure_motion,
    no_motion,
)
from pipelines.parts.read_ahead import in_order, read_ahead
from pipelines.parts.store import PartStore
from pipelines.profile.work import WorkMeter
from pipelines.video.chapters import ChapteredReader, open_chapters
from pipelines.video.decode import VideoReader
from pipelines.video.grid import match_frames
from schemas.embedding import frames_part_schema
from schemas.errors import TakeError
from schemas.time import Interval, grid_ns

__all__ = ["SMALLEST_SIDE", "to_embedding_column", "write_frames_part"]

# Motion is measured on pictures of at least 160 x 90, whichever way they stand.
SMALLEST_SIDE: Final = 160
# Decoded and not taken yet.
_CHUNKS_AHEAD: Final = 2


def write_frames_part(
    parts: PartStore,
    key: str,
    *,
    paths: Sequence[Path],
    span: Interval,
    config: VideoConfig,
    encoder: FrozenEncoder,
    motion: bool = True,
    grid: npt.NDArray[np.int64] | None = None,
    threads: int = 1,
    meter: WorkMeter | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Decode a take's grid frames once, embed them and write the part.

    A grid time without a frame within the tolerance has no row. Image motion is null in the first
    row, after a missing grid time, and in pictures too small to tell it (below 160 x 90), or
    everywhere if it is not asked for. A thumbnail stands in the first row of each second.

    Args:
        parts: where the part goes.
        key: of the part.
        paths: video files of one recording, in order; mostly one.
        span: of the take, on its clock.
        config: grid step, tolerance and decoder.
        encoder: frozen encoder.
        motion: whether image motion is measured.
        grid: (G,) int64, increasing grid times that are wanted; default all of the span.
        threads: kept busy; one means one core. They change no bit.
        meter: told of ``frames`` (frames and bytes), ``frames.decode``, ``frames.encode`` and
            ``frames.motion`` (frames and seconds; waiting is not counted).
        progress: told (rows done, rows in all) after every batch.

    Raises:
        TakeError: as ``open_chapters``, ``video_frames_missing`` if no grid time has a frame, or
            as ``to_embedding_column``.
    """
    meter = meter or WorkMeter()
    video = open_chapters(paths, decoder=config.decoder, hardware=config.hardware)
    grid = grid_ns(span, step_ns=config.step_ns) if grid is None else grid
    matched = match_frames(video.pts_ns, grid=grid, tolerance_ns=config.tolerance_ns)
    found = matched >= 0
    if not found.any():
        raise TakeError(
            "video_frames_missing",
            f"some of the {len(grid)} grid times must have a frame within {config.tolerance_ms} ms,"
            f" none has [{video.path.name}]",
        )
    chunks = decode_chunks(
        video,
        t_ns=grid[found],
        index=matched[found],
        step_ns=config.step_ns,
        chunk=encoder.spec.batch_size,
        short_side=max(encoder.spec.image_size, SMALLEST_SIDE),
        threads=threads,
        meter=meter,
    )
    work = _FrameWork(encoder=encoder, motion=motion, video=video, meter=meter)
    rows = int(found.sum())
    with one_torch_thread(), _filled(chunks, work=work, threads=threads) as batches:
        path = parts.write(
            "frames",
            key,
            schema=frames_part_schema(encoder.spec.video_dim),
            batches=_counted(batches, rows=rows, progress=progress),
        )
    meter.add(
        "frames",
        items=rows,
        bytes_in=sum(p.stat().st_size for p in paths),
        bytes_out=path.stat().st_size,
    )


def to_embedding_column(embeddings: npt.NDArray[np.float32], *, place: str) -> pa.Array:
    """Return embeddings (N, D) as a fixed-size list column of float16.

    Raises:
        TakeError: ``embedding_not_finite`` if a value is not finite in float16, ``embedding_zero``
            if a row has no direction.
    """
    with np.errstate(over="ignore"):
        halves = embeddings.astype(np.float16)
    if not np.isfinite(halves).all():
        bad = int((~np.isfinite(halves)).any(axis=1).sum())
        raise TakeError(
            "embedding_not_finite", f"embeddings must be finite in float16, {bad} are not [{place}]"
        )
    if not halves.any(axis=1).all():
        bad = int((~halves.any(axis=1)).sum())
        raise TakeError(
            "embedding_zero", f"embeddings must have a direction, {bad} are all zeros [{place}]"
        )
    return pa.FixedSizeListArray.from_arrays(pa.array(halves.reshape(-1)), embeddings.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _FrameWork:
    """What is done to every chunk."""

    encoder: FrozenEncoder
    motion: bool
    video: VideoReader | ChapteredReader
    meter: WorkMeter

    def encode(self, chunk: FrameChunk) -> npt.NDArray[np.float32]:
        with self.meter.timed("frames.encode"):
            embeddings = self.encoder.encode_frames(chunk.frames)[chunk.place]
        self.meter.add("frames.encode", items=len(chunk.frames))
        return embeddings

    def measure(self, chunk: FrameChunk) -> tuple[list[pa.Array], pa.Array]:
        with self.meter.timed("frames.motion"):
            moved = measure_motion(chunk) if self.motion else no_motion(chunk)
            jpegs = make_thumbnails(chunk)
        self.meter.add("frames.motion", items=len(chunk.frames))
        return moved, jpegs

    def fill(
        self,
        chunk: FrameChunk,
        *,
        embeddings: npt.NDArray[np.float32],
        measured: tuple[list[pa.Array], pa.Array],
    ) -> pa.RecordBatch:
        moved, jpegs = measured
        return pa.record_batch(
            [
                pa.array(chunk.t_ns),
                pa.array(self.video.pts_ns[chunk.index]),
                pa.array(chunk.index),
                to_embedding_column(embeddings, place=self.video.path.name),
                *moved,
                pa.array([chunk.decoder] * len(chunk.t_ns)),
                jpegs,
            ],
            schema=frames_part_schema(self.encoder.spec.video_dim),
        )


@contextmanager
def _filled(
    chunks: Generator[FrameChunk, None, None], *, work: _FrameWork, threads: int
) -> Iterator[Iterator[pa.RecordBatch]]:
    """Give the part's batches in order; leaving the block ends whatever is still under way."""
    on_gpu = work.encoder.spec.device_kind != "cpu"
    if threads == 1 and not on_gpu:
        with closing(chunks):
            yield (
                work.fill(chunk, embeddings=work.encode(chunk), measured=work.measure(chunk))
                for chunk in chunks
            )
        return
    with ExitStack() as stack:
        helpers = stack.enter_context(_pool(threads))
        # A GPU works on one call at a time: a second thread would only wait for it.
        encoding = stack.enter_context(_pool(1)) if on_gpu else helpers
        ahead = stack.enter_context(read_ahead(chunks, depth=_CHUNKS_AHEAD))

        def start(chunk: FrameChunk) -> Callable[[], pa.RecordBatch]:
            embeddings = encoding.submit(work.encode, chunk)
            measured = helpers.submit(work.measure, chunk)
            return lambda: work.fill(
                chunk, embeddings=embeddings.result(), measured=measured.result()
            )

        yield in_order(ahead, start=start, ahead=threads)


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(threads, initializer=use_one_torch_thread)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _counted(
    batches: Iterator[pa.RecordBatch],
    *,
    rows: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        if progress is not None:
            progress(done, rows)
