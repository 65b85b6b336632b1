"""The frames part: one embedding a grid frame of a take, made in one pass over the video."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.config import VideoConfig
from pipelines.encoders.base import FrozenEncoder
from pipelines.parts.store import PartStore
from pipelines.video.chapters import ChapteredReader, open_chapters
from pipelines.video.decode import VideoReader
from pipelines.video.grid import match_frames
from pipelines.video.motion import GREY_HEIGHT, GREY_WIDTH, image_shifts, small_grey
from pipelines.video.thumbnail import encode_thumbnail
from schemas.embedding import frames_part_schema
from schemas.errors import TakeError
from schemas.time import NS_PER_S, Interval, grid_ns

__all__ = ["to_embedding_column", "write_frames_part"]


def write_frames_part(
    parts: PartStore,
    key: str,
    *,
    paths: Sequence[Path],
    span: Interval,
    config: VideoConfig,
    encoder: FrozenEncoder,
    motion: bool = True,
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
        progress: told (rows done, rows in all) after every batch.

    Raises:
        TakeError: as ``open_chapters``, ``video_frames_missing`` if no grid time has a frame, or
            as ``to_embedding_column``.
    """
    video = open_chapters(paths, decoder=config.decoder)
    grid = grid_ns(span, step_ns=config.step_ns)
    matched = match_frames(video.pts_ns, grid=grid, tolerance_ns=config.tolerance_ns)
    found = matched >= 0
    if not found.any():
        raise TakeError(
            "video_frames_missing",
            f"some of the {len(grid)} grid times must have a frame within {config.tolerance_ms} ms,"
            f" none has [{video.path.name}]",
        )
    schema = frames_part_schema(encoder.spec.video_dim)
    batches = _batches(
        video,
        t_ns=grid[found],
        matched=matched[found],
        step_ns=config.step_ns,
        encoder=encoder,
        motion=motion,
        schema=schema,
        progress=progress,
    )
    parts.write("frames", key, schema=schema, batches=batches)


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


def _batches(
    video: VideoReader | ChapteredReader,
    *,
    t_ns: npt.NDArray[np.int64],
    matched: npt.NDArray[np.int64],
    step_ns: int,
    encoder: FrozenEncoder,
    motion: bool,
    schema: pa.Schema,
    progress: Callable[[int, int], None] | None,
) -> Iterator[pa.RecordBatch]:
    # Where frames are rarer than grid times, neighbouring grid times share one: decoded once.
    indices, row_of = np.unique(matched, return_inverse=True)
    first_frame, row = 0, 0
    last_t_ns, last_grey = None, None
    # One helper measures the motion while the encoder has the same frames.
    with ThreadPoolExecutor(max_workers=1) as helper:
        for frames in video.read(indices, chunk=encoder.spec.batch_size):
            last_frame = first_frame + len(frames)
            end = int(np.searchsorted(row_of, last_frame))
            rows = row_of[row:end] - first_frame
            times = t_ns[row:end]
            before = np.array([times[0] if last_t_ns is None else last_t_ns, *times[:-1]])
            follows = times - before == step_ns
            moving = helper.submit(
                _measure_motion, frames, rows, last_grey=last_grey, follows=follows, motion=motion
            )
            embeddings = encoder.encode_frames(frames)[rows]
            jpegs = [
                encode_thumbnail(frames[i]) if starts else None
                for i, starts in zip(rows, _starts_second(times, last_t_ns), strict=True)
            ]
            columns, last_grey = moving.result()
            yield pa.record_batch(
                [
                    pa.array(times),
                    pa.array(video.pts_ns[matched[row:end]]),
                    pa.array(matched[row:end]),
                    to_embedding_column(embeddings, place=video.path.name),
                    *columns,
                    pa.array([video.decoder] * len(rows)),
                    pa.array(jpegs, pa.binary()),
                ],
                schema=schema,
            )
            last_t_ns = int(times[-1])
            first_frame, row = last_frame, end
            if progress is not None:
                progress(row, len(t_ns))


def _measure_motion(
    frames: npt.NDArray[np.uint8],
    rows: npt.NDArray[np.int64],
    *,
    last_grey: npt.NDArray[np.float32] | None,
    follows: npt.NDArray[np.bool_],
    motion: bool,
) -> tuple[list[pa.Array], npt.NDArray[np.float32] | None]:
    """Return dx, dy and peak of each row (n,), and the last row's small grey copy.

    They are null where no frame of one step before exists, and everywhere in pictures too small
    or where motion is not asked for.
    """
    nothing = [pa.nulls(len(rows), pa.float32())] * 3
    if not motion or frames.shape[1] < GREY_HEIGHT or frames.shape[2] < GREY_WIDTH:
        return nothing, None
    greys = small_grey(frames)[rows]
    if not follows.any():
        return nothing, greys[-1]
    before = greys[:1] if last_grey is None else last_grey[None]
    shifts = image_shifts(np.concatenate([before, greys]))
    return [pa.array(shifts[:, k], mask=~follows) for k in range(3)], greys[-1]


def _starts_second(times: npt.NDArray[np.int64], last_t_ns: int | None) -> npt.NDArray[np.bool_]:
    seconds = times // NS_PER_S
    before = np.array([-1 if last_t_ns is None else last_t_ns // NS_PER_S, *seconds[:-1]])
    starts: npt.NDArray[np.bool_] = seconds != before
    return starts
