"""One take's rows of a version: which segments are stored, and every column of theirs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipelines.align.sync_audit import SyncAudit
from pipelines.config import PrepConfig
from pipelines.encoders.base import FramePooler
from pipelines.parts.store import PartStore
from pipelines.segments.filters import (
    PRESENT,
    drop_faulty,
    filter_segments,
    find_frame_faults,
    find_imu_faults,
    find_text_faults,
)
from pipelines.segments.policies import count_neighbours, plan_segments
from pipelines.segments.quality_limits import PLANNED_OVERLAPS, find_limit_faults
from pipelines.segments.text_quality import measure_text_quality
from pipelines.stores.cut_imu import read_imu_grid
from pipelines.stores.frame_counts import COUNT_COLUMNS as FRAME_COLUMNS
from pipelines.stores.frame_counts import count_frames
from pipelines.stores.imu_quality import measure_imu_quality
from pipelines.stores.look_up_text import find_sentences
from pipelines.stores.part_columns import describe_frames, describe_imu
from pipelines.stores.pool_frames import find_pooling_faults
from pipelines.stores.prepared_takes import PreparedTake
from pipelines.stores.raw_windows import RawImu, resample_raw_windows
from pipelines.stores.segment_rows import describe_segments, finish_segments
from pipelines.stores.sync_columns import correction_ns, describe_sync
from pipelines.stores.sync_record import find_sync_audit
from schemas.embedding import EmbeddingSpec

__all__ = ["TakeRows", "assemble_take"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeRows:
    """The segments of one take that are to be stored, in row order; nothing of their arrays yet."""

    table: pa.Table
    """``SEGMENT_SCHEMA``, N rows sorted by (start_ns, end_ns, segment_id)."""
    planned: int
    """Segments planned in this take: stored and dropped."""
    drops: Mapping[str, int]
    """Reason: segments."""
    windows: npt.NDArray[np.float32] | None
    """(N, 6, T) where each window is resampled by itself; otherwise they are cut later."""

    def __len__(self) -> int:
        return len(self.table)


def assemble_take(
    prepared: PreparedTake,
    *,
    parts: PartStore,
    config: PrepConfig,
    encoder: EmbeddingSpec | None,
    pooled: bool = False,
    pooler: FramePooler | None = None,
) -> TakeRows:
    """Plan the take's segments, drop what lacks a modality or breaks a limit, describe the rest.

    Embeddings stay unread, and with them the digests of the parts that hold them: whoever fills
    the arrays of the rows checks those. A part that no row needs is checked here.

    Args:
        prepared: the take.
        parts: where its parts lie.
        config: of the run.
        encoder: that made them; None for IMU alone.
        pooled: look at the pooled embeddings too, which takes reading them all: a segment whose
            frames cancel out has no video then.
        pooler: of a segment's frame embeddings, if ``pooled``; their mean without one.

    Raises:
        StoreDamagedError: if a part is missing or altered.
    """
    plan = plan_segments(
        prepared.take,
        narrations=prepared.narrations,
        span=prepared.span,
        clock_uncertainty_ns=prepared.clock_uncertainty_ns,
        config=config.segments,
        text=config.text,
    )
    samples = config.segments.length_ns // config.imu.step_ns
    start_ns = plan.rows["start_ns"].to_numpy()
    end_ns = plan.rows["end_ns"].to_numpy()
    # Of a take with nothing planned no part is read.
    frames_key = prepared.frames_key if len(start_ns) else None
    text_key = prepared.text_key if len(start_ns) and encoder is not None else None

    audit = _find_audit(prepared, parts=parts, config=config) if len(start_ns) else None
    grid, first = None, np.zeros(len(start_ns), np.int64)
    grid_valid = np.zeros(0, np.bool_)
    if prepared.imu_key is not None and len(start_ns):
        grid = read_imu_grid(parts, key=prepared.imu_key, step_ns=config.imu.step_ns)
        moved_ns = correction_ns(audit, config=config.audit, step_ns=config.imu.step_ns)
        first, grid_valid = grid.find_first(start_ns + moved_ns), grid.valid
    counts = count_frames(
        parts.read_columns("frames", frames_key, names=FRAME_COLUMNS) if frames_key else None,
        start_ns=start_ns,
        end_ns=end_ns,
    )
    found = find_sentences(plan.rows["text"].to_arrow(), key=text_key, parts=parts)

    imu_faults = find_imu_faults(grid_valid, first=first, samples=samples)
    padded = np.zeros(len(first), np.int32)
    raw: RawImu | None = None
    if prepared.raw_imu_key is not None and grid is not None:
        batches = parts.read("raw_imu", prepared.raw_imu_key)
        raw = resample_raw_windows(batches, grid=grid, first=first, samples=samples)
        at = raw.find(first)
        imu_faults, padded = raw.faults[at], raw.padded[at]
    step_ns = config.video.step_ns
    # Grid frames in [start, end): the multiples of the step below end, less those below start.
    expected = -(-end_ns // step_ns) + (-start_ns // step_ns)
    frame_faults = find_frame_faults(counts.frames, expected=expected)
    if pooled and frames_key is not None and encoder is not None:
        cancelled = find_pooling_faults(
            parts.read("frames", frames_key),
            start_ns=start_ns,
            end_ns=end_ns,
            dim=encoder.video_dim,
            pooler=pooler,
        )
        frame_faults = np.where(frame_faults == PRESENT, cancelled, frame_faults)
    filtered = filter_segments(
        {
            "imu": imu_faults,
            "video": frame_faults,
            "text": find_text_faults(found.known),
        },
        required=config.segments.required,
    )
    valid = filtered.valid
    rows = describe_segments(
        plan.rows,
        take=prepared.take,
        split=prepared.split,
        valid=valid,
        measured=(
            measure_imu_quality(grid, first=first, samples=samples, has_imu=valid[:, 0]),
            measure_text_quality(
                prepared.narrations, start_ns=start_ns, end_ns=end_ns, span=prepared.span
            ),
            describe_imu(grid, padded=padded),
            describe_frames(counts, expected=expected, has_part=frames_key is not None),
            pl.DataFrame({"tokens": found.tokens}),
            describe_sync(
                audit,
                mid_ns=(start_ns + end_ns) // 2,
                config=config.audit,
                step_ns=config.imu.step_ns,
            ),
        ),
    )
    meets, _ = count_neighbours(start_ns, end_ns=end_ns)
    filtered = drop_faulty(
        filtered,
        faults=find_limit_faults(
            rows.with_columns(pl.Series(PLANNED_OVERLAPS, meets)), config=config.quality
        ),
    )
    keep = filtered.keep
    stored = valid & keep[:, None]
    if frames_key is not None and not stored[:, 1].any():
        parts.check("frames", frames_key)
    if text_key is not None and not stored[:, 2].any():
        parts.check("text", text_key)
    return TakeRows(
        table=finish_segments(rows.filter(pl.Series(keep))),
        planned=plan.planned,
        drops=dict(Counter(plan.drops) + Counter(filtered.drops)),
        windows=None if raw is None else raw.cut(first[keep], samples=samples),
    )


def _find_audit(
    prepared: PreparedTake, *, parts: PartStore, config: PrepConfig
) -> SyncAudit | None:
    if not config.audit.enabled or prepared.imu_key is None or prepared.frames_key is None:
        return None
    return find_sync_audit(
        parts,
        imu_key=prepared.imu_key,
        frames_key=prepared.frames_key,
        config=config.audit,
    )
