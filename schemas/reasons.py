"""Every reason code a run can give, what it means, and what to do about it.

``docs/quarantine.md`` is rendered from this table; a test holds both against the code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

__all__ = ["KINDS", "REASONS", "Reason", "ReasonKind", "find_reason", "reasons_of"]

ReasonKind = Literal["quarantine", "drop", "ignored", "plan"]

KINDS: Final[Mapping[ReasonKind, str]] = MappingProxyType(
    {
        "quarantine": "Quarantined takes: no segment of the take is stored, the others are",
        "drop": "Dropped segments: the take's other segments are stored",
        "ignored": "Ignored annotations: they plan no segment, and are counted beside them",
        "plan": "While pricing: the take is passed over by `plan` alone, which tries another",
    }
)


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the table.

    Attributes:
        code: as the manifest counts it and ``retry --reason`` takes it.
        kind: what becomes of the data; one code may have a row of several kinds.
        meaning: what was found.
        remedy: what the owner of the data can do.
    """

    code: str
    kind: ReasonKind
    meaning: str
    remedy: str


_LAY_OUT: Final = "Put the file where the dataset's download lays it out, then `retry`"
_COPY_AGAIN: Final = "Copy the file again from its origin, compare sizes, then `retry`"

REASONS: Final[tuple[Reason, ...]] = (
    # A take's files.
    Reason(
        "file_missing",
        "quarantine",
        "A file the take names is not there, or its name can be no file's",
        _LAY_OUT,
    ),
    Reason(
        "path_escapes_root",
        "quarantine",
        "A path of the take, or a link on it, leads out of the dataset's folder",
        "Correct the path; where links are meant, `--set dataset.follow_links=true`",
    ),
    Reason(
        "streams_missing",
        "quarantine",
        "The take's row names neither a video nor an IMU file",
        "Name one in takes.csv, or delete the row",
    ),
    Reason(
        "video_missing",
        "quarantine",
        "The take's video is in none of the places where it may lie",
        f"{_LAY_OUT}; or choose another copy with `video.variant`",
    ),
    Reason("vrs_missing", "quarantine", "The take's VRS file is not there or not named", _LAY_OUT),
    Reason(
        "imu_file_missing",
        "quarantine",
        "The file of the IMU, or of one of its sensors, is not there or not named",
        f"{_LAY_OUT}; without one, store the take for nothing: leave it out",
    ),
    Reason(
        "imu_file_ambiguous",
        "quarantine",
        "Two files claim to be one sensor's recording of one part",
        "Delete or rename the one that is not wanted",
    ),
    Reason(
        "aria_camera_missing",
        "quarantine",
        "The capture lists no ego camera of an Aria",
        "Nothing to mend: the wearer's camera was another device",
    ),
    # IMU.
    Reason(
        "vrs_unreadable",
        "quarantine",
        "The VRS file is damaged, cut off or of another format",
        _COPY_AGAIN,
    ),
    Reason(
        "vrs_layout_unknown",
        "quarantine",
        "The VRS file is written in a way that only projectaria-tools reads, which is not there",
        "`pip install 'primus-pipelines[aria]'` with constraints.txt, then `retry`",
    ),
    Reason(
        "imu_stream_missing",
        "quarantine",
        "The recording holds no such IMU stream, or the clip no metadata track",
        "Choose another `imu.stream`; for GoPro, take the clip as the camera wrote it: editing and "
        "encoding again lose the track",
    ),
    Reason(
        "no_calibration",
        "quarantine",
        "Nothing tells how the sensor's axes lie in the device",
        "Get the calibrated recording, or keep every take in sensor axes with "
        "`imu.accept_sensor_frame=true`",
    ),
    Reason(
        "imu_unreadable",
        "quarantine",
        "The IMU's CSV is no table of numbers",
        _COPY_AGAIN,
    ),
    Reason(
        "imu_file_unreadable",
        "quarantine",
        "The IMU's table or archive is damaged, encrypted or of another kind",
        _COPY_AGAIN,
    ),
    Reason(
        "imu_file_malformed",
        "quarantine",
        "The IMU's table lacks a column, or holds a cell or stamp that cannot be",
        "Correct the table; the detail names the file, column and value",
    ),
    Reason(
        "imu_file_too_large",
        "quarantine",
        "An archive unpacks to more than any recording of its kind, or holds too many files",
        "Look whether it is what it says it is; if so, split the recording into several files",
    ),
    Reason(
        "gpmf_malformed",
        "quarantine",
        "The clip's metadata track breaks its own rules",
        _COPY_AGAIN,
    ),
    Reason(
        "imu_not_monotonic",
        "quarantine",
        "Stamps stand still or step back",
        "Sort the table by its stamps and drop repeats, if the clock was not set meanwhile",
    ),
    Reason(
        "imu_clock_unstable",
        "quarantine",
        "The sensors' clock jumps against the picture's",
        "Cut the recording at the jump, or leave it out",
    ),
    Reason(
        "imu_units_implausible",
        "quarantine",
        "The values cannot be m/s2 with gravity and rad/s",
        "Convert the table; the detail names the likely unit",
    ),
    Reason(
        "imu_too_short",
        "quarantine",
        "The sensor has too few payloads to tell its rate",
        "Nothing to mend: the clip is too short",
    ),
    Reason(
        "imu_missing",
        "quarantine",
        "Accelerometer and gyroscope have no sample together within the take",
        "Look whether the IMU file is this take's, and whether its clock is",
    ),
    Reason(
        "accel_missing",
        "quarantine",
        "The recording holds no accelerometer",
        "Nothing to mend: stores hold accelerometer and gyroscope together",
    ),
    Reason(
        "gyro_missing",
        "quarantine",
        "The recording holds no gyroscope",
        "Nothing to mend: stores hold accelerometer and gyroscope together",
    ),
    # Clocks.
    Reason(
        "timesync_missing",
        "quarantine",
        "timesync.csv, or the take's rows in it, are not there",
        f"{_LAY_OUT}; download the captures' `timesync.csv` too",
    ),
    Reason(
        "timesync_unreadable",
        "quarantine",
        "timesync.csv is no CSV table",
        _COPY_AGAIN,
    ),
    Reason(
        "timesync_column_missing",
        "quarantine",
        "timesync.csv has no column of the take's camera",
        "Download the capture's timesync.csv again",
    ),
    Reason(
        "timesync_short",
        "quarantine",
        "timesync.csv ends before the take's rows do",
        "Download the capture's timesync.csv again",
    ),
    Reason(
        "timesync_gap",
        "quarantine",
        "The camera's column is empty for longer than can be bridged",
        "Nothing to mend: the instants of the frames are not known",
    ),
    Reason(
        "timesync_order",
        "quarantine",
        "The camera's stamps step back, or are no times",
        "Download the capture's timesync.csv again",
    ),
    Reason(
        "timesync_rate",
        "quarantine",
        "The camera's stamps are not 33.3 ms apart",
        "Look whether the column is this take's camera",
    ),
    Reason(
        "frame_count_mismatch",
        "quarantine",
        "The video has not the number of frames that its rows of timesync.csv promise",
        _COPY_AGAIN,
    ),
    # Video.
    Reason(
        "video_rate_varies",
        "quarantine",
        "Frames come at uneven times, so that they cannot be matched with rows",
        "Take the dataset's own copy of the video, not one encoded again",
    ),
    Reason(
        "video_unreadable",
        "quarantine",
        "The video is empty, cut off or no video",
        _COPY_AGAIN,
    ),
    Reason(
        "video_stream_missing",
        "quarantine",
        "The file holds no picture, such as sound alone",
        "Name the file that holds the picture",
    ),
    Reason(
        "video_too_large",
        "quarantine",
        "The file claims a picture, a rate, a length or a number of frames beyond every camera's",
        "Look whether it is what it says it is; if so, encode a smaller copy or split it",
    ),
    Reason(
        "video_undecodable",
        "quarantine",
        "Wanted frames do not decode, change their size, or the codec is unknown",
        f"{_COPY_AGAIN}; if it plays elsewhere, encode it to H.264",
    ),
    Reason(
        "video_chapters_overlap",
        "quarantine",
        "A chapter holds frames past the end that its header declares",
        "Copy the recording's files again as the camera wrote them",
    ),
    Reason(
        "video_frames_missing",
        "quarantine",
        "No frame lies near any instant at which one is wanted",
        "Raise `video.tolerance_ms` for pictures of a low rate, or look at the take's clock",
    ),
    # Text and embeddings.
    Reason(
        "captions_unreadable",
        "quarantine",
        "The clip's file of sentences is no such file, or not UTF-8",
        "Save it as UTF-8 in its format, then `retry`",
    ),
    Reason(
        "captions_too_large",
        "quarantine",
        "The clip's file of sentences is larger than the sentences of any recording",
        "Look whether it is a file of sentences; if so, split it",
    ),
    Reason(
        "embedding_not_finite",
        "quarantine",
        "The encoder gave NaN or infinity",
        "Look at the encoder's weights; try `encoder.precision=float32`",
    ),
    Reason(
        "embedding_zero",
        "quarantine",
        "The encoder gave a vector without direction",
        "Look at the encoder's weights, and whether the take's picture is all one colour",
    ),
    # The machine.
    Reason(
        "source_unreadable",
        "quarantine",
        "The take's files are there, and the machine could not read them, however often it tried",
        "Mend the disk, the share or the permissions, then `retry --reason source_unreadable`",
    ),
    Reason(
        "worker_killed",
        "quarantine",
        "Every worker that prepared the take was killed",
        "Give workers more memory, or take fewer on a machine, then `retry --reason worker_killed`",
    ),
    Reason(
        "unexpected_error",
        "quarantine",
        "Something nobody foresaw; the detail names the error and the line of code",
        "Report it with the detail; the file it names shows it again",
    ),
    # Segments.
    Reason(
        "take_shorter_than_segment",
        "drop",
        "The take is shorter than one segment",
        "Nothing to mend; or a smaller `segments.length_ms`",
    ),
    Reason(
        "narration_outside_take",
        "drop",
        "The narration's instant lies before the take's start or after its end",
        "Look at the clock that the narrations were written by",
    ),
    Reason(
        "narration_other_subject",
        "drop",
        "The sentence is about somebody else",
        "`text.subjects=any` keeps it",
    ),
    Reason(
        "narration_not_visible",
        "drop",
        "The wearer's camera does not show what the sentence says",
        "`text.visibility=any` keeps it",
    ),
    Reason(
        "duplicate_segment",
        "drop",
        "The same window with the same sentence stands there already",
        "`segments.duplicates=keep` keeps and marks it",
    ),
    Reason(
        "imu_missing",
        "drop",
        "The segment reaches beyond the recorded IMU",
        "Nothing to mend; without `imu` in `segments.require` it is stored without",
    ),
    Reason(
        "imu_gap",
        "drop",
        "The segment meets a gap too long to bridge",
        "Nothing to mend; `imu.max_gap_ms` sets what is too long",
    ),
    Reason(
        "frames_missing",
        "drop",
        "More than a tenth of the segment's frames are not in the video",
        "Nothing to mend; `video.tolerance_ms` sets how near a frame must be",
    ),
    Reason(
        "text_empty",
        "drop",
        "Nothing is left of the sentence once it is cleaned",
        "Nothing to mend; without `text` in `segments.require` it is stored without",
    ),
    Reason(
        "imu_coverage_low", "drop", "Below `quality.min_imu_coverage`", "Lower the limit, or accept"
    ),
    Reason("imu_gap_long", "drop", "Above `quality.max_imu_gap_ms`", "Raise the limit, or accept"),
    Reason(
        "imu_jitter_high", "drop", "Above `quality.max_imu_jitter_us`", "Raise the limit, or accept"
    ),
    Reason(
        "imu_invalid_high",
        "drop",
        "Above `quality.max_imu_invalid_share`",
        "Raise the limit, or accept",
    ),
    Reason(
        "imu_saturated",
        "drop",
        "Above `quality.max_imu_saturated_share`",
        "Raise the limit, or accept",
    ),
    Reason(
        "imu_still", "drop", "Above `quality.max_imu_still_share`", "Raise the limit, or accept"
    ),
    Reason(
        "frame_error_high",
        "drop",
        "Above `quality.max_frame_error_ms`",
        "Raise the limit, or accept",
    ),
    Reason(
        "frames_missing_many",
        "drop",
        "Above `quality.max_frames_missing`",
        "Raise the limit, or accept",
    ),
    Reason(
        "lag_high",
        "drop",
        "The take's lag is above `quality.max_abs_lag_ms`",
        "`audit.correct=true` moves the IMU by it; or raise the limit",
    ),
    Reason(
        "lag_unknown",
        "drop",
        "The take's lag cannot be told with `quality.min_lag_confidence`",
        "Lower the limit, or accept",
    ),
    Reason(
        "narrations_dense",
        "drop",
        "Above `quality.max_narrations_per_minute`",
        "Raise the limit, or accept",
    ),
    Reason("overlaps_many", "drop", "Above `quality.max_overlaps`", "Raise the limit, or accept"),
    Reason(
        "ambiguous",
        "drop",
        "Several sentences in one window, under `quality.drop_ambiguous`",
        "`quality.drop_ambiguous=false` keeps it",
    ),
    # Annotations.
    Reason(
        "unknown_take",
        "ignored",
        "Annotations of a take that the dataset does not have",
        "Download the take, or accept",
    ),
    Reason(
        "rejected_pass", "ignored", "A pass that the dataset's makers rejected", "Nothing to mend"
    ),
    Reason(
        "later_pass", "ignored", "Not the take's first pass", "`text.passes=all` reads every pass"
    ),
    Reason("other_source", "ignored", "Of a source that is not wanted", "Add it to `text.sources`"),
    Reason(
        "commentary_error",
        "ignored",
        "A commentary whose recording the dataset marks as failed",
        "Nothing to mend",
    ),
    Reason(
        "malformed_description",
        "ignored",
        "An annotation without text or time",
        "Correct the annotation file",
    ),
    Reason(
        "malformed_narration",
        "ignored",
        "A narration without text or time",
        "Correct the annotation file",
    ),
    Reason("caption_timing", "ignored", "A cue without a readable time", "Correct the cue's times"),
    Reason(
        "caption_order", "ignored", "A cue that ends before it starts", "Correct the cue's times"
    ),
    Reason("caption_empty", "ignored", "A cue without words", "Write its words, or accept"),
    # Pricing.
    Reason(
        "nothing_planned",
        "plan",
        "No segment fits into the stretch that would be timed",
        "Nothing to mend; give rates with `--rates` where no take can be timed",
    ),
)


def find_reason(code: str, *, kind: ReasonKind) -> Reason | None:
    """Return the row of a code; None for one that this version of the code does not know."""
    return next((row for row in REASONS if (row.code, row.kind) == (code, kind)), None)


def reasons_of(kind: ReasonKind) -> tuple[Reason, ...]:
    """Return the rows of a kind, in the table's order."""
    return tuple(row for row in REASONS if row.kind == kind)
