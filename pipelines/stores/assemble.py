"""One take's rows of a version: cut IMU windows, mean frame embeddings, looked-up sentences."""

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
from pipelines.stores.imu_quality import measure_imu_quality
from pipelines.stores.look_up_text import look_up_text
from pipelines.stores.part_columns import describe_frames, describe_imu
from pipelines.stores.pool_frames import pool_frames
from pipelines.stores.raw_windows import ImuWindows, resample_raw_windows
from pipelines.stores.segment_rows import describe_segments, finish_segments
from pipelines.stores.sync_columns import correction_ns, describe_sync
from pipelines.stores.sync_record import find_sync_audit
from schemas.embedding import EmbeddingSpec
from schemas.imu import IMU_CHANNELS
from schemas.narration import Narration
from schemas.take import Take
from schemas.time import Interval

__all__ = ["PreparedTake", "TakeRows", "assemble_take"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTake:
    """A take whose parts are there."""

    take: Take
    narrations: tuple[Narration, ...]
    """With their sentences cleaned."""
    span: Interval
    clock_uncertainty_ns: int
    split: str | None
    imu_key: str | None
    frames_key: str | None
    text_key: str | None
    raw_imu_key: str | None = None
    """Where each window is resampled by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeRows:
    """The stored segments of one take, in row order; the IMU windows are cut when asked for."""

    table: pa.Table
    """``SEGMENT_SCHEMA``, N rows sorted by (start_ns, end_ns, segment_id)."""
    video: npt.NDArray[np.float16]
    """(N, Dv) unit norm; zeros where ``valid`` is False."""
    text: npt.NDArray[np.float16]
    """(N, Dt) unit norm; zeros where ``valid`` is False."""
    valid: npt.NDArray[np.bool_]
    """(N, 3) imu, video, text."""
    samples: int
    """T: samples a window."""
    planned: int
    """Segments planned in this take: stored and dropped."""
    drops: Mapping[str, int]
    """Reason: segments."""
    windows: ImuWindows | None
    first: npt.NDArray[np.int64]
    """(N,) grid point at which each window starts."""

    def __len__(self) -> int:
        return len(self.valid)

    @property
    def imu(self) -> npt.NDArray[np.float32]:
        """All windows, (N, 6, T); zeros where ``valid`` is False."""
        return self.imu_block(0, len(self))

    def imu_block(self, low: int, high: int) -> npt.NDArray[np.float32]:
        """Return the windows of rows ``[low, high)``, (high - low, 6, T)."""
        block = np.zeros((high - low, len(IMU_CHANNELS), self.samples), np.float32)
        here = self.valid[low:high, 0]
        if self.windows is not None:
            block[here] = self.windows.cut(self.first[low:high][here], samples=self.samples)
        return block


def assemble_take(
    prepared: PreparedTake,
    *,
    parts: PartStore,
    config: PrepConfig,
    encoder: EmbeddingSpec | None,
    pooler: FramePooler | None = None,
) -> TakeRows:
    """Plan the take's segments, drop what lacks a modality or breaks a limit, fill in the rest.

    Args:
        prepared: the take.
        parts: where its parts lie.
        config: of the run.
        encoder: that made them; None for IMU alone.
        pooler: of a segment's frame embeddings; their mean without one.

    Raises:
        StoreDamagedError: if a part is missing or altered.
        TakeError: if an embedding has no direction.
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

    audit = _find_audit(prepared, parts=parts, config=config) if len(start_ns) else None
    grid, first = None, np.zeros(len(start_ns), np.int64)
    grid_valid = np.zeros(0, np.bool_)
    if prepared.imu_key is not None and len(start_ns):
        grid = read_imu_grid(parts, key=prepared.imu_key, step_ns=config.imu.step_ns)
        moved_ns = correction_ns(audit, config=config.audit, step_ns=config.imu.step_ns)
        first, grid_valid = grid.find_first(start_ns + moved_ns), grid.valid
    has_frames = prepared.frames_key is not None and len(start_ns) > 0
    pooled = pool_frames(
        parts.read("frames", prepared.frames_key) if prepared.frames_key and has_frames else (),
        start_ns=start_ns,
        end_ns=end_ns,
        dim=encoder.video_dim if encoder is not None else 0,
        pooler=pooler,
    )
    found = look_up_text(
        plan.rows["text"].to_list(),
        key=prepared.text_key,
        parts=parts,
        dim=encoder.text_dim if encoder is not None else 0,
    )

    windows: ImuWindows | None = grid
    imu_faults = find_imu_faults(grid_valid, first=first, samples=samples)
    padded = np.zeros(len(first), np.int32)
    if prepared.raw_imu_key is not None and grid is not None:
        batches = parts.read("raw_imu", prepared.raw_imu_key)
        raw = resample_raw_windows(batches, grid=grid, first=first, samples=samples)
        at = raw.find(first)
        windows, imu_faults, padded = raw, raw.faults[at], raw.padded[at]
    step_ns = config.video.step_ns
    # Grid frames in [start, end): the multiples of the step below end, less those below start.
    expected = -(-end_ns // step_ns) + (-start_ns // step_ns)
    filtered = filter_segments(
        {
            "imu": imu_faults,
            "video": find_frame_faults(pooled.frames, expected=expected),
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
            describe_frames(pooled, expected=expected, has_part=has_frames),
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
    kept_valid = valid[keep]
    return TakeRows(
        table=finish_segments(rows.filter(pl.Series(keep))),
        video=np.where(kept_valid[:, 1:2], pooled.video[keep], np.float16(0)),
        text=np.where(kept_valid[:, 2:3], found.text[keep], np.float16(0)),
        valid=kept_valid,
        samples=samples,
        planned=plan.planned,
        drops=dict(Counter(plan.drops) + Counter(filtered.drops)),
        windows=windows,
        first=first[keep],
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
