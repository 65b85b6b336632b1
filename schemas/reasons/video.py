"""Takes whose frames cannot be told or timed."""

from typing import Final

from schemas.reasons.reason import COPY_AGAIN, LAY_OUT, reasons

__all__ = ["CLOCKS", "VIDEO"]

CLOCKS: Final = reasons(
    "quarantine",
    (
        "timesync_missing",
        "timesync.csv, or the take's rows in it, are not there",
        f"{LAY_OUT}; download the captures' `timesync.csv` too",
    ),
    ("timesync_unreadable", "timesync.csv is no CSV table", COPY_AGAIN),
    (
        "timesync_column_missing",
        "timesync.csv has no column of the take's camera",
        "Download the capture's timesync.csv again",
    ),
    (
        "timesync_short",
        "timesync.csv ends before the take's rows do",
        "Download the capture's timesync.csv again",
    ),
    (
        "timesync_gap",
        "The camera's column is empty for longer than can be bridged",
        "Nothing to mend: the instants of the frames are not known",
    ),
    (
        "timesync_order",
        "The camera's stamps step back, or are no times",
        "Download the capture's timesync.csv again",
    ),
    (
        "timesync_rate",
        "The camera's stamps are not 33.3 ms apart",
        "Look whether the column is this take's camera",
    ),
    (
        "frame_count_mismatch",
        "The video has not the number of frames that its rows of timesync.csv promise",
        COPY_AGAIN,
    ),
)
"""Of the clock that ties frames to samples."""

VIDEO: Final = reasons(
    "quarantine",
    (
        "video_rate_varies",
        "Frames come at uneven times, so that they cannot be matched with rows",
        "Take the dataset's own copy of the video, not one encoded again",
    ),
    ("video_unreadable", "The video is empty, cut off or no video", COPY_AGAIN),
    (
        "video_stream_missing",
        "The file holds no picture, such as sound alone",
        "Name the file that holds the picture",
    ),
    (
        "video_too_large",
        "The file claims a picture, a rate, a length or a number of frames beyond every camera's",
        "Look whether it is what it says it is; if so, encode a smaller copy or split it",
    ),
    (
        "video_undecodable",
        "Wanted frames do not decode, change their size, or the codec is unknown",
        f"{COPY_AGAIN}; if it plays elsewhere, encode it to H.264",
    ),
    (
        "video_chapters_overlap",
        "A chapter holds frames past the end that its header declares",
        "Copy the recording's files again as the camera wrote them",
    ),
    (
        "video_frames_missing",
        "No frame lies near any instant at which one is wanted",
        "Raise `video.tolerance_ms` for pictures of a low rate, or look at the take's clock",
    ),
)
"""Of the video."""
