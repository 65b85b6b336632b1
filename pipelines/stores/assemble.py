"""One take's rows of a version: cut IMU windows, mean frame embeddings, looked-up sentences."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipelines.align.sync_audit import measure_lag
from pipelines.config import PrepConfig
from pipelines.parts.store import PartStore
from pipelines.segments.filters import (
    filter_segments,
    find_frame_faults,
    find_imu_faults,
    find_text_faults,
)
from pipelines.segments.policies import count_neighbours, plan_segments
from pipelines.stores.cut_imu import ImuGrid, read_imu_grid
from pipelines.stores.pool_frames import PooledFrames, pool_frames, unit_rows
from pipelines.stores.take_lag import find_take_lag
from schemas.embedding import EmbeddingSpec
from schemas.imu import IMU_CHANNELS
from schemas.modality import MODALITIES
from schemas.narration import Narration
from schemas.segment import SEGMENT_SCHEMA
from schemas.store import sha256_hex
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
    grid: ImuGrid | None
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
        if self.grid is not None:
            block[here] = self.grid.cut(self.first[low:high][here], samples=self.samples)
        return block


def assemble_take(
    prepared: PreparedTake, *, parts: PartStore, config: PrepConfig, encoder: EmbeddingSpec
) -> TakeRows:
    """Plan the take's segments, drop what lacks a required modality, fill in the rest.

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
    )
    samples = config.segments.length_ns // config.imu.step_ns
    start_ns = plan.rows["start_ns"].to_numpy()
    end_ns = plan.rows["end_ns"].to_numpy()

    grid, first = None, np.zeros(len(start_ns), np.int64)
    grid_valid = np.zeros(0, np.bool_)
    if prepared.imu_key is not None and len(start_ns):
        grid = read_imu_grid(parts, key=prepared.imu_key, step_ns=config.imu.step_ns)
        first, grid_valid = grid.find_first(start_ns), grid.valid
    has_frames = prepared.frames_key is not None and len(start_ns)
    pooled = pool_frames(
        parts.read("frames", prepared.frames_key) if prepared.frames_key and has_frames else (),
        start_ns=start_ns,
        end_ns=end_ns,
        dim=encoder.video_dim,
    )
    text, tokens, known = _look_up(
        plan.rows["text"].to_list(), key=prepared.text_key, parts=parts, dim=encoder.text_dim
    )

    step_ns = config.video.step_ns
    filtered = filter_segments(
        {
            "imu": find_imu_faults(grid_valid, first=first, samples=samples),
            "video": find_frame_faults(
                pooled.frames, expected=-(-end_ns // step_ns) + (-start_ns // step_ns)
            ),
            "text": find_text_faults(known),
        },
        required=config.segments.required,
    )
    keep, valid = filtered.keep, filtered.valid
    lag_ns, lag_r2 = (
        _find_lag(prepared, parts=parts, grid=grid, pooled=pooled) if keep.any() else (None, None)
    )
    gap_ns = np.zeros(len(start_ns), np.int64)
    if grid is not None:
        has_imu = valid[:, 0]
        gap_ns[has_imu] = grid.longest_gap_ns(first[has_imu], samples=samples)
    take = prepared.take
    has_video = pl.col("has_video")
    frame = (
        plan.rows.with_columns(
            *(pl.Series(f"has_{name}", valid[:, i]) for i, name in enumerate(MODALITIES)),
            pl.Series("imu_gap_ns", gap_ns),
            pl.Series("frames", pooled.frames.astype(np.int32)),
            pl.Series("frame_error_ns", pooled.error_ns),
            pl.Series("decoder", pooled.decoder, dtype=pl.String),
            pl.Series("tokens", tokens),
        )
        .filter(pl.Series(keep))
        .with_columns(
            pl.when("has_imu").then("imu_gap_ns"),
            pl.when(has_video).then("frames"),
            pl.when(has_video).then("frame_error_ns"),
            pl.when("has_text").then("tokens"),
            pl.when("has_imu").then(pl.lit(grid.stream if grid else None)).alias("imu_stream"),
            pl.when("has_imu").then(pl.lit(grid.frame if grid else None)).alias("imu_frame"),
            pl.when(has_video)
            .then(pl.lit(take.video.variant if take.video else None))
            .alias("video_variant"),
            pl.when(has_video).then("decoder"),
            pl.lit(take.dataset).alias("dataset"),
            pl.lit(take.take_uid).alias("take_uid"),
            pl.lit(take.take_name).alias("take_name"),
            pl.lit(take.participant).alias("participant"),
            pl.lit(prepared.split).alias("split"),
            pl.lit(take.label).alias("label"),
            pl.lit(take.task_family).alias("task_family"),
            pl.lit(lag_ns).alias("take_lag_ns"),
            pl.lit(lag_r2).alias("take_lag_r2"),
        )
    )
    overlaps, same_window = count_neighbours(start_ns[keep], end_ns=end_ns[keep])
    frame = frame.with_columns(
        pl.Series("overlaps", overlaps), pl.Series("same_window", same_window)
    )
    kept_valid = valid[keep]
    return TakeRows(
        table=frame.select(SEGMENT_SCHEMA.names).to_arrow().cast(SEGMENT_SCHEMA),
        video=np.where(kept_valid[:, 1:2], pooled.video[keep], np.float16(0)),
        text=np.where(kept_valid[:, 2:3], text[keep], np.float16(0)),
        valid=kept_valid,
        samples=samples,
        planned=plan.planned,
        drops=dict(Counter(plan.drops) + Counter(filtered.drops)),
        grid=grid,
        first=first[keep],
    )


def _look_up(
    texts: list[str | None], *, key: str | None, parts: PartStore, dim: int
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return unit embedding (N, Dt), token count (N,) and presence (N,) of each sentence."""
    vectors: dict[str, npt.NDArray[np.float64]] = {}
    counts: dict[str, int] = {}
    for batch in parts.read("text", key) if key is not None and texts else ():
        hashes = batch.column("text_sha256").to_pylist()
        flat = batch.column("embedding").flatten().to_numpy().reshape(-1, dim)
        vectors.update(zip(hashes, flat.astype(np.float64), strict=True))
        counts.update(zip(hashes, batch.column("tokens").to_pylist(), strict=True))
    hashes_of = [sha256_hex(t.encode()) if t else "" for t in texts]
    known = np.array([h in vectors for h in hashes_of], np.bool_)
    zeros = np.zeros(dim)
    rows = np.array([vectors.get(h, zeros) for h in hashes_of]).reshape(-1, dim)
    tokens = np.array([counts.get(h, 0) for h in hashes_of], np.int32)
    return unit_rows(rows, present=known), tokens, known


def _find_lag(
    prepared: PreparedTake, *, parts: PartStore, grid: ImuGrid | None, pooled: PooledFrames
) -> tuple[int | None, float | None]:
    if grid is None or not grid.valid.any() or len(pooled.motion) == 0:
        return None, None
    if prepared.imu_key is None or prepared.frames_key is None:
        return None, None
    return find_take_lag(
        parts,
        imu_key=prepared.imu_key,
        frames_key=prepared.frames_key,
        measure=lambda: measure_lag(
            gyro_t_ns=grid.t_ns[grid.valid],
            gyro_rad_s=grid.values[3:, grid.valid].T.astype(np.float64),
            motion_t_ns=pooled.motion_t_ns,
            motion=pooled.motion,
        ),
    )
