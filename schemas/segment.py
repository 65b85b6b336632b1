"""The segment table: one row a narration (or stride step); row i is index i of every array."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

import pyarrow as pa

from schemas.store import canonical_json

__all__ = ["SEGMENT_FIRST_COLUMNS", "SEGMENT_SCHEMA", "SEGMENT_SORT", "SPLITS", "make_segment_id"]

SPLITS: Final = ("train", "val", "test")

SEGMENT_SCHEMA: Final = pa.schema(
    [
        pa.field("segment_id", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("take_uid", pa.string(), nullable=False),
        pa.field("take_name", pa.string(), nullable=False),
        pa.field("participant", pa.string()),
        pa.field("split", pa.string()),
        pa.field("label", pa.string()),
        pa.field("start_ns", pa.int64(), nullable=False),
        pa.field("end_ns", pa.int64(), nullable=False),
        pa.field("narration_ns", pa.int64()),
        pa.field("text", pa.string()),
        pa.field("text_raw", pa.string()),
        pa.field("text_source", pa.string()),
        pa.field("pass_uid", pa.string()),
        pa.field("has_imu", pa.bool_(), nullable=False),
        pa.field("has_video", pa.bool_(), nullable=False),
        pa.field("has_text", pa.bool_(), nullable=False),
        # --- from here on, later columns may be added at the end ---
        pa.field("imu_stream", pa.string()),
        pa.field("imu_frame", pa.string()),  # device | sensor
        pa.field("task_family", pa.string()),
        # k of this row among rows of one take with equal window, source and sentence; 0 = first.
        pa.field("duplicate_index", pa.int32(), nullable=False),
        # Other rows of the same take whose windows meet this one's.
        pa.field("overlaps", pa.int32(), nullable=False),
        # Rows of the same take with exactly this window, this row left out.
        pa.field("same_window", pa.int32(), nullable=False),
        pa.field("imu_gap_ns", pa.int64()),  # longest recording gap inside the window
        pa.field("frames", pa.int32()),  # grid frames averaged
        # Furthest used frame from its grid time.
        pa.field("frame_error_ns", pa.int64()),
        pa.field("video_variant", pa.string()),
        pa.field("decoder", pa.string()),  # such as pyav, or pyav+pyav-cuda
        pa.field("tokens", pa.int32()),  # of the sentence before truncation
        pa.field("clock_uncertainty_ns", pa.int64(), nullable=False),
        # Lag of the gyro behind the picture, for the whole take; null where it cannot be told.
        pa.field("take_lag_ns", pa.int64()),
        pa.field("take_lag_r2", pa.float32()),
        # How far the best lag stands out from all others, 0 to 1.
        pa.field("take_lag_confidence", pa.float32()),
        # Growth of the lag from the take's start to its end; null where it cannot be told.
        pa.field("take_lag_drift_ns", pa.int64()),
        # The same around this segment alone.
        pa.field("segment_lag_ns", pa.int64()),
        pa.field("segment_lag_r2", pa.float32()),
        pa.field("segment_lag_confidence", pa.float32()),
        # True where the take's lag is beyond audit.suspect_ms; null where it cannot be told.
        pa.field("sync_suspect", pa.bool_()),
        # By how much the IMU window was moved to mend the take's lag; 0 unless audit.correct.
        pa.field("imu_correction_ns", pa.int64()),
        pa.field("imu_coverage", pa.float32()),  # share of the window's grid points recorded
        pa.field("imu_jitter_ns", pa.float32()),  # standard deviation of the sample intervals
        pa.field("imu_invalid_share", pa.float32()),  # samples left out among those in the window
        pa.field("imu_saturated_share", pa.float32()),
        pa.field("imu_still_share", pa.float32()),  # share of half seconds without motion
        pa.field("imu_padded_samples", pa.int32()),  # zeros at the end; the published rule only
        pa.field("frames_missing", pa.int32()),  # grid frames without a frame in tolerance
        pa.field("narrations_per_minute", pa.float32()),  # of the take, within half a minute
        pa.field("sentences_in_window", pa.int32()),  # different ones whose instant lies in it
        pa.field("ambiguous", pa.bool_()),  # sentences_in_window > 1
        pa.field("subject", pa.string()),  # wearer, other, or null
        pa.field("visible", pa.bool_()),
    ]
)

SEGMENT_FIRST_COLUMNS: Final = tuple(SEGMENT_SCHEMA.names[:17])
"""Promised to come first, in this order, in every version."""

SEGMENT_SORT: Final = ("dataset", "take_uid", "start_ns", "end_ns", "segment_id")
"""Row order of every version."""


def make_segment_id(identity: Sequence[str | int | None]) -> str:
    """Return the 32-hex id of a segment.

    Args:
        identity: ``[dataset, take_uid, start_ns, end_ns, text_source, pass_uid, narration_ns,
            text_raw, k]``, k counting exact repeats from 0.
    """
    return sha256(canonical_json(list(identity))).hexdigest()[:32]
