"""Every trouble that synthetic datasets can be given, and what must come of it.

One table serves the writers, the command line, the documentation and the tests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from schemas.time import NS_PER_MS, NS_PER_S

__all__ = [
    "FAULTS",
    "IMU_GAP_NS",
    "IMU_LATE_NS",
    "IMU_SHORT_NS",
    "KEPT_BYTES",
    "Fault",
    "faults_of",
]

# How large the troubles are, of which the table below tells.
IMU_GAP_NS: Final = 400 * NS_PER_MS
IMU_LATE_NS: Final = 800 * NS_PER_MS
IMU_SHORT_NS: Final = 6 * NS_PER_S
KEPT_BYTES: Final = 0.6

Outcome = Literal["quarantined", "dropped", "ignored", "survives"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of trouble, planted in one take of a dataset."""

    name: str
    dataset: str
    what: str
    """One sentence: what is wrong."""
    outcome: Outcome
    """quarantined: the whole take; dropped: the segments it touches; ignored: annotations that
    plan nothing; survives: every segment is stored, and right."""
    reason: str = ""
    """Code under which it is counted; empty where it survives."""
    shown_by: str = ""
    """Column or count that shows it, where it survives."""


def _fault(name: str, dataset: str, outcome: Outcome, reason: str, what: str) -> Fault:
    if outcome == "survives":
        return Fault(name=name, dataset=dataset, what=what, outcome=outcome, shown_by=reason)
    return Fault(name=name, dataset=dataset, what=what, outcome=outcome, reason=reason)


_VIDEO_DATASETS: Final = ("egoexo4d", "ego4d", "folder")
_ALL: Final = ("egoexo4d", "ego4d", "realworld", "folder")
# Without tables or annotations of their own: what one mp4 and one file of sentences can be.
_CLIPS: Final = (*_VIDEO_DATASETS, "gopro")


def _everywhere(
    datasets: Sequence[str], name: str, outcome: Outcome, reason: str, what: str
) -> list[Fault]:
    return [_fault(name, dataset, outcome, reason, what) for dataset in datasets]


FAULTS: Final[tuple[Fault, ...]] = (
    _fault("vrs_missing", "egoexo4d", "quarantined", "vrs_missing", "the VRS file is not there"),
    _fault("vrs_corrupt", "egoexo4d", "quarantined", "vrs_unreadable", "the VRS file is rubbish"),
    _fault(
        "no_calibration", "egoexo4d", "quarantined", "no_calibration", "the VRS has no calib_json"
    ),
    *_everywhere(
        ("ego4d", "realworld", "folder"),
        "imu_file_missing",
        "quarantined",
        "imu_file_missing",
        "the file of the IMU, or of its gyroscope, is not there",
    ),
    *_everywhere(
        (*_ALL, "gopro"), "imu_gap", "dropped", "imu_gap", "0.4 s of IMU samples are missing"
    ),
    *_everywhere(
        ("egoexo4d", "folder"),
        "imu_backward",
        "quarantined",
        "imu_not_monotonic",
        "IMU stamps step back by 50 ms",
    ),
    *_everywhere(
        ("ego4d", "realworld"),
        "imu_backward",
        "survives",
        "",
        "rows of the IMU file stand in the wrong order; they are sorted by their stamps",
    ),
    *_everywhere(
        _ALL,
        "imu_nan",
        "survives",
        "imu_invalid_share",
        "single IMU samples are NaN, or empty cells",
    ),
    *_everywhere(
        ("egoexo4d", "ego4d", "folder"),
        "imu_short",
        "dropped",
        "imu_missing",
        "the IMU ends 6 s before the picture",
    ),
    *_everywhere(
        _CLIPS,
        "imu_late",
        "survives",
        "sync_suspect",
        "the IMU's stamps are 0.8 s late",
    ),
    *_everywhere(
        _CLIPS,
        "video_truncated",
        "quarantined",
        "video_unreadable",
        "the mp4 ends after 60 % of its bytes",
    ),
    _fault(
        "video_short",
        "egoexo4d",
        "quarantined",
        "frame_count_mismatch",
        "the mp4 lacks a tenth of the frames that its rows of timesync.csv promise",
    ),
    *_everywhere(
        _CLIPS,
        "video_empty",
        "quarantined",
        "video_unreadable",
        "the mp4 has no bytes",
    ),
    *_everywhere(
        _CLIPS,
        "video_audio_only",
        "quarantined",
        "video_stream_missing",
        "the mp4 holds sound alone",
    ),
    *_everywhere(_CLIPS, "video_av1", "survives", "decoder", "the picture is AV1"),
    *_everywhere(
        ("ego4d", "gopro", "folder"),
        "video_variable_rate",
        "survives",
        "frame_error_ns",
        "frames come at uneven times",
    ),
    _fault(
        "video_variable_rate",
        "egoexo4d",
        "quarantined",
        "video_rate_varies",
        "frames come at uneven times, so that row and frame cannot be matched",
    ),
    *_everywhere(_VIDEO_DATASETS, "video_2997", "survives", "", "the picture has 29.97 frames/s"),
    *_everywhere(_CLIPS, "video_rotated", "survives", "", "the file asks to be shown turned by 90"),
    _fault(
        "timesync_rows_missing",
        "egoexo4d",
        "quarantined",
        "timesync_short",
        "timesync.csv ends before the take's rows",
    ),
    *_everywhere(
        _VIDEO_DATASETS,
        "unknown_take",
        "ignored",
        "unknown_take",
        "annotations speak of a take that does not exist",
    ),
    _fault(
        "passes_rejected",
        "egoexo4d",
        "ignored",
        "rejected_pass",
        "every annotator pass of the take was rejected",
    ),
    *_everywhere(
        _CLIPS,
        "narration_outside",
        "dropped",
        "narration_outside_take",
        "one narration before the take's start, one after its end",
    ),
    *_everywhere(
        _CLIPS,
        "narration_duplicate",
        "survives",
        "duplicate_index",
        "one narration stands there twice",
    ),
    *_everywhere(
        _VIDEO_DATASETS, "text_empty", "dropped", "text_empty", "one narration has no text"
    ),
    *_everywhere(
        _CLIPS,
        "text_long",
        "survives",
        "tokens",
        "one narration is longer than the encoder reads",
    ),
    *_everywhere(
        _CLIPS,
        "text_scripts",
        "survives",
        "",
        "narrations in other scripts, with emoji",
    ),
    *_everywhere(
        ("egoexo4d", "folder"),
        "path_escape",
        "quarantined",
        "path_escapes_root",
        "the take's files are named with ../ and lie outside the dataset",
    ),
    _fault(
        "imu_stream_missing",
        "gopro",
        "quarantined",
        "imu_stream_missing",
        "the clip has no metadata track, as a copy encoded again",
    ),
    _fault(
        "gyro_missing",
        "gopro",
        "quarantined",
        "gyro_missing",
        "the metadata track holds no gyroscope",
    ),
    _fault(
        "no_calibration",
        "gopro",
        "quarantined",
        "no_calibration",
        "nothing tells which camera it was, nor which way its axes point",
    ),
    _fault(
        "imu_backward",
        "gopro",
        "quarantined",
        "gpmf_malformed",
        "the running count of the sensors' samples falls",
    ),
    _fault(
        "imu_clock_jump",
        "gopro",
        "quarantined",
        "imu_clock_unstable",
        "the metadata track's stamps jump by 0.6 s in the middle",
    ),
    _fault(
        "imu_short",
        "gopro",
        "dropped",
        "narration_outside_take",
        "the sensors end 6 s before the picture, and the take with them",
    ),
    _fault(
        "captions_corrupt",
        "gopro",
        "quarantined",
        "captions_unreadable",
        "the file of sentences is not UTF-8",
    ),
    _fault(
        "text_empty", "gopro", "ignored", "caption_empty", "one cue of the sentences has no words"
    ),
)


def faults_of(dataset: str) -> dict[str, Fault]:
    """Return the faults a dataset can be given, by name."""
    return {fault.name: fault for fault in FAULTS if fault.dataset == dataset}
