"""Takes whose IMU cannot be used."""

from typing import Final

from schemas.reasons.reason import COPY_AGAIN, reasons

__all__ = ["IMU"]

IMU: Final = reasons(
    "quarantine",
    ("vrs_unreadable", "The VRS file is damaged, cut off or of another format", COPY_AGAIN),
    (
        "vrs_layout_unknown",
        "The VRS file is written in a way that only projectaria-tools reads, which is not there",
        "`pip install 'primus-pipelines[aria]'` with constraints.txt, then `retry`",
    ),
    (
        "imu_stream_missing",
        "The recording holds no such IMU stream, or the clip no metadata track",
        "Choose another `imu.stream`; for GoPro, take the clip as the camera wrote it: editing and "
        "encoding again lose the track",
    ),
    (
        "no_calibration",
        "Nothing tells how the sensor's axes lie in the device",
        "Get the calibrated recording, or keep every take in sensor axes with "
        "`imu.accept_sensor_frame=true`",
    ),
    ("imu_unreadable", "The IMU's CSV is no table of numbers", COPY_AGAIN),
    (
        "imu_file_unreadable",
        "The IMU's table or archive is damaged, encrypted or of another kind",
        COPY_AGAIN,
    ),
    (
        "imu_file_malformed",
        "The IMU's table lacks a column, or holds a cell or stamp that cannot be",
        "Correct the table; the detail names the file, column and value",
    ),
    (
        "imu_file_too_large",
        "An archive unpacks to more than any recording of its kind, or holds too many files",
        "Look whether it is what it says it is; if so, split the recording into several files",
    ),
    ("gpmf_malformed", "The clip's metadata track breaks its own rules", COPY_AGAIN),
    (
        "imu_not_monotonic",
        "Stamps stand still or step back",
        "Sort the table by its stamps and drop repeats, if the clock was not set meanwhile",
    ),
    (
        "imu_clock_unstable",
        "The sensors' clock jumps against the picture's",
        "Cut the recording at the jump, or leave it out",
    ),
    (
        "imu_units_implausible",
        "The values cannot be m/s2 with gravity and rad/s",
        "Convert the table; the detail names the likely unit",
    ),
    (
        "imu_too_short",
        "The sensor has too few payloads to tell its rate",
        "Nothing to mend: the clip is too short",
    ),
    (
        "imu_missing",
        "Accelerometer and gyroscope have no sample together within the take",
        "Look whether the IMU file is this take's, and whether its clock is",
    ),
    (
        "accel_missing",
        "The recording holds no accelerometer",
        "Nothing to mend: stores hold accelerometer and gyroscope together",
    ),
    (
        "gyro_missing",
        "The recording holds no gyroscope",
        "Nothing to mend: stores hold accelerometer and gyroscope together",
    ),
)
"""Of the IMU's recording."""
