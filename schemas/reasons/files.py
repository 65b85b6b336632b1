"""Takes whose files are not where they should be, or that the machine could not prepare."""

from typing import Final

from schemas.reasons.reason import LAY_OUT, reasons

__all__ = ["FILES", "MACHINE"]

FILES: Final = reasons(
    "quarantine",
    ("file_missing", "A file the take names is not there, or its name can be no file's", LAY_OUT),
    (
        "path_escapes_root",
        "A path of the take, or a link on it, leads out of the dataset's folder",
        "Correct the path; where links are meant, `--set dataset.follow_links=true`",
    ),
    (
        "streams_missing",
        "The take's row names neither a video nor an IMU file",
        "Name one in takes.csv, or delete the row",
    ),
    (
        "video_missing",
        "The take's video is in none of the places where it may lie",
        f"{LAY_OUT}; or choose another copy with `video.variant`",
    ),
    ("vrs_missing", "The take's VRS file is not there or not named", LAY_OUT),
    (
        "imu_file_missing",
        "The file of the IMU, or of one of its sensors, is not there or not named",
        f"{LAY_OUT}; without one, store the take for nothing: leave it out",
    ),
    (
        "imu_file_ambiguous",
        "Two files claim to be one sensor's recording of one part",
        "Delete or rename the one that is not wanted",
    ),
    (
        "aria_camera_missing",
        "The capture lists no ego camera of an Aria",
        "Nothing to mend: the wearer's camera was another device",
    ),
)
"""Of where a take's files lie."""

MACHINE: Final = reasons(
    "quarantine",
    (
        "source_unreadable",
        "The take's files are there, and the machine could not read them, however often it tried",
        "Mend the disk, the share or the permissions, then `retry --reason source_unreadable`",
    ),
    (
        "worker_killed",
        "Every worker that prepared the take was killed",
        "Give workers more memory, or take fewer on a machine, then `retry --reason worker_killed`",
    ),
    (
        "unexpected_error",
        "Something nobody foresaw; the detail names the error and the line of code",
        "Report it with the detail; the file it names shows it again",
    ),
)
"""Of the machine, and of our own code."""
