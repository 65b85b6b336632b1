from typing import Any

import polars as pl
import pytest

from pipelines.config import QualityConfig
from pipelines.segments.quality_limits import LIMIT_REASONS, PLANNED_OVERLAPS, find_limit_faults

GOOD: dict[str, Any] = {
    "imu_coverage": 0.9,
    "imu_gap_ns": 50_000_000,
    "imu_jitter_ns": 20_000.0,
    "imu_invalid_share": 0.1,
    "imu_saturated_share": 0.2,
    "imu_still_share": 0.3,
    "frame_error_ns": 16_000_000,
    "frames_missing": 2,
    "take_lag_ns": -100_000_000,
    "take_lag_confidence": 0.5,
    "narrations_per_minute": 12.0,
    PLANNED_OVERLAPS: 4,
    "ambiguous": False,
}
"""Every column exactly at its limit below: at the limit a segment stays."""

LIMITS: dict[str, Any] = {
    "min_imu_coverage": 0.9,
    "max_imu_gap_ms": 50,
    "max_imu_jitter_us": 20,
    "max_imu_invalid_share": 0.1,
    "max_imu_saturated_share": 0.2,
    "max_imu_still_share": 0.3,
    "max_frame_error_ms": 16,
    "max_frames_missing": 2,
    "max_abs_lag_ms": 100,
    "min_lag_confidence": 0.5,
    "max_narrations_per_minute": 12,
    "max_overlaps": 4,
    "drop_ambiguous": True,
}

BAD = [
    ("min_imu_coverage", {"imu_coverage": 0.896}, "imu_coverage_low"),
    ("max_imu_gap_ms", {"imu_gap_ns": 50_000_001}, "imu_gap_long"),
    ("max_imu_jitter_us", {"imu_jitter_ns": 20_001.0}, "imu_jitter_high"),
    ("max_imu_invalid_share", {"imu_invalid_share": 0.101}, "imu_invalid_high"),
    ("max_imu_saturated_share", {"imu_saturated_share": 0.201}, "imu_saturated"),
    ("max_imu_still_share", {"imu_still_share": 0.4}, "imu_still"),
    ("max_frame_error_ms", {"frame_error_ns": 16_000_001}, "frame_error_high"),
    ("max_frames_missing", {"frames_missing": 3}, "frames_missing_many"),
    ("max_abs_lag_ms", {"take_lag_ns": 101_000_000}, "lag_high"),
    ("min_lag_confidence", {"take_lag_confidence": 0.49}, "lag_unknown"),
    ("max_narrations_per_minute", {"narrations_per_minute": 12.5}, "narrations_dense"),
    ("max_overlaps", {PLANNED_OVERLAPS: 5}, "overlaps_many"),
    ("drop_ambiguous", {"ambiguous": True}, "ambiguous"),
]


def reasons(rows: list[dict[str, Any]], limits: dict[str, Any]) -> list[str]:
    config = QualityConfig.model_validate(limits)
    schema = {name: pl.Series([value]).dtype for name, value in GOOD.items()}
    frame = pl.DataFrame([{**GOOD, **row} for row in rows], schema=schema)
    return [str(reason) for reason in find_limit_faults(frame, config=config)]


def test_every_limit_and_reason_is_provoked_below() -> None:
    assert [limit for limit, _, _ in BAD] == list(QualityConfig.model_fields)
    assert tuple(reason for _, _, reason in BAD) == LIMIT_REASONS


@pytest.mark.parametrize(("limit", "change", "reason"), BAD)
def test_limit_drops_what_lies_beyond_it_and_nothing_at_it(
    limit: str, change: dict[str, Any], reason: str
) -> None:
    assert reasons([{}, change, {}], {limit: LIMITS[limit]}) == ["", reason, ""]
    assert reasons([change], {}) == [""]
    others = {name: value for name, value in LIMITS.items() if name != limit}
    assert reasons([change], others) == [""]


def test_first_reason_in_order_counts() -> None:
    for i, (_, _, reason) in enumerate(BAD):
        changes: dict[str, Any] = {}
        for _, change, _ in BAD[i:]:
            changes |= change
        assert reasons([changes], LIMITS) == [reason]


@pytest.mark.parametrize("limit", [name for name in LIMITS if name != "min_lag_confidence"])
def test_what_is_not_told_breaks_no_limit(limit: str) -> None:
    assert reasons([dict.fromkeys(GOOD)], {limit: LIMITS[limit]}) == [""]


@pytest.mark.parametrize("lacking", ["take_lag_ns", "take_lag_confidence"])
def test_lag_that_cannot_be_told_falls_once_confidence_is_asked_for(lacking: str) -> None:
    assert reasons([{lacking: None}], {"min_lag_confidence": 0}) == ["lag_unknown"]
    assert reasons([{}], {"min_lag_confidence": 0}) == [""]


def test_no_segment_has_no_reason() -> None:
    assert reasons([], LIMITS) == []
    assert reasons([], {}) == []
