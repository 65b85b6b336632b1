"""Which segments fall because a quality column lies beyond its limit."""

from typing import Final

import numpy as np
import polars as pl

from pipelines.config import QualityConfig
from pipelines.segments.filters import PRESENT, Faults
from schemas.time import NS_PER_MS

__all__ = ["LIMIT_REASONS", "PLANNED_OVERLAPS", "find_limit_faults"]

LIMIT_REASONS: Final = (
    "imu_coverage_low",
    "imu_gap_long",
    "imu_jitter_high",
    "imu_invalid_high",
    "imu_saturated",
    "imu_still",
    "frame_error_high",
    "frames_missing_many",
    "lag_high",
    "lag_unknown",
    "narrations_dense",
    "overlaps_many",
    "ambiguous",
)
"""In this order a segment counts under the first that holds."""

PLANNED_OVERLAPS: Final = "planned_overlaps"
"""Column that ``max_overlaps`` looks at: other planned segments of the take that meet this one.

The stored column ``overlaps`` counts stored ones, which this very limit decides upon."""


_NS_PER_US: Final = 1_000


def find_limit_faults(rows: pl.DataFrame, *, config: QualityConfig) -> Faults:
    """Return the first limit each of N segments breaks, ``PRESENT`` where it keeps to all.

    A column that is null breaks no limit, as there is nothing to measure; the one exception is the
    take's lag, whose not being told is ``lag_unknown`` once ``min_lag_confidence`` is set.

    Args:
        rows: quality columns of the segments, and ``PLANNED_OVERLAPS``.
        config: the limits.
    """
    broken = _broken(config)
    if not broken:
        return np.full(rows.height, PRESENT)
    chosen = [
        pl.when(broken[reason].fill_null(value=False)).then(pl.lit(reason))
        for reason in LIMIT_REASONS
        if reason in broken
    ]
    found = rows.select(reason=pl.coalesce(*chosen, pl.lit(PRESENT)))["reason"]
    return np.array(found.to_list(), np.str_)


def _broken(config: QualityConfig) -> dict[str, pl.Expr]:
    """Return, for each limit that is set, when it is broken."""
    lag_ns, confidence = pl.col("take_lag_ns"), pl.col("take_lag_confidence")
    upper = (
        ("imu_gap_long", pl.col("imu_gap_ns"), config.max_imu_gap_ms, NS_PER_MS),
        ("imu_jitter_high", pl.col("imu_jitter_ns"), config.max_imu_jitter_us, _NS_PER_US),
        ("imu_invalid_high", pl.col("imu_invalid_share"), config.max_imu_invalid_share, 1),
        ("imu_saturated", pl.col("imu_saturated_share"), config.max_imu_saturated_share, 1),
        ("imu_still", pl.col("imu_still_share"), config.max_imu_still_share, 1),
        ("frame_error_high", pl.col("frame_error_ns"), config.max_frame_error_ms, NS_PER_MS),
        ("frames_missing_many", pl.col("frames_missing"), config.max_frames_missing, 1),
        ("lag_high", lag_ns.abs(), config.max_abs_lag_ms, NS_PER_MS),
        (
            "narrations_dense",
            pl.col("narrations_per_minute"),
            config.max_narrations_per_minute,
            1,
        ),
        ("overlaps_many", pl.col(PLANNED_OVERLAPS), config.max_overlaps, 1),
    )
    broken = {
        reason: value > limit * unit for reason, value, limit, unit in upper if limit is not None
    }
    if config.min_imu_coverage is not None:
        broken["imu_coverage_low"] = pl.col("imu_coverage") < config.min_imu_coverage
    if config.min_lag_confidence is not None:
        told = lag_ns.is_not_null() & (confidence >= config.min_lag_confidence).fill_null(
            value=False
        )
        broken["lag_unknown"] = ~told
    if config.drop_ambiguous:
        broken["ambiguous"] = pl.col("ambiguous")
    return broken
