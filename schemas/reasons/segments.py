"""Segments that are not stored, and stretches that cannot be priced."""

from typing import Final

from schemas.reasons.reason import reasons

__all__ = ["PRICING", "SEGMENTS"]

SEGMENTS: Final = reasons(
    "drop",
    (
        "take_shorter_than_segment",
        "The take is shorter than one segment",
        "Nothing to mend; or a smaller `segments.length_ms`",
    ),
    (
        "narration_outside_take",
        "The narration's instant lies before the take's start or after its end",
        "Look at the clock that the narrations were written by",
    ),
    (
        "narration_other_subject",
        "The sentence is about somebody else",
        "`text.subjects=any` keeps it",
    ),
    (
        "narration_not_visible",
        "The wearer's camera does not show what the sentence says",
        "`text.visibility=any` keeps it",
    ),
    (
        "duplicate_segment",
        "The same window with the same sentence stands there already",
        "`segments.duplicates=keep` keeps and marks it",
    ),
    (
        "imu_missing",
        "The segment reaches beyond the recorded IMU",
        "Nothing to mend; without `imu` in `segments.require` it is stored without",
    ),
    (
        "imu_gap",
        "The segment meets a gap too long to bridge",
        "Nothing to mend; `imu.max_gap_ms` sets what is too long",
    ),
    (
        "frames_missing",
        "More than a tenth of the segment's frames are not in the video",
        "Nothing to mend; `video.tolerance_ms` sets how near a frame must be",
    ),
    (
        "text_empty",
        "Nothing is left of the sentence once it is cleaned",
        "Nothing to mend; without `text` in `segments.require` it is stored without",
    ),
    ("imu_coverage_low", "Below `quality.min_imu_coverage`", "Lower the limit, or accept"),
    ("imu_gap_long", "Above `quality.max_imu_gap_ms`", "Raise the limit, or accept"),
    ("imu_jitter_high", "Above `quality.max_imu_jitter_us`", "Raise the limit, or accept"),
    ("imu_invalid_high", "Above `quality.max_imu_invalid_share`", "Raise the limit, or accept"),
    ("imu_saturated", "Above `quality.max_imu_saturated_share`", "Raise the limit, or accept"),
    ("imu_still", "Above `quality.max_imu_still_share`", "Raise the limit, or accept"),
    ("frame_error_high", "Above `quality.max_frame_error_ms`", "Raise the limit, or accept"),
    ("frames_missing_many", "Above `quality.max_frames_missing`", "Raise the limit, or accept"),
    (
        "lag_high",
        "The take's lag is above `quality.max_abs_lag_ms`",
        "`audit.correct=true` moves the IMU by it; or raise the limit",
    ),
    (
        "lag_unknown",
        "The take's lag cannot be told with `quality.min_lag_confidence`",
        "Lower the limit, or accept",
    ),
    ("narrations_dense", "Above `quality.max_narrations_per_minute`", "Raise the limit, or accept"),
    ("overlaps_many", "Above `quality.max_overlaps`", "Raise the limit, or accept"),
    (
        "ambiguous",
        "Several sentences in one window, under `quality.drop_ambiguous`",
        "`quality.drop_ambiguous=false` keeps it",
    ),
)
"""Of segments that are dropped while their take is kept."""

PRICING: Final = reasons(
    "plan",
    (
        "nothing_planned",
        "No segment fits into the stretch that would be timed",
        "Nothing to mend; give rates with `--rates` where no take can be timed",
    ),
)
"""Of takes that pricing passes over."""
