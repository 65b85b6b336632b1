"""The turn rates and picture shifts of a take, as its parts hold them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.parts.store import PartKind, PartStore
from schemas.imu import IMU_CHANNELS
from schemas.time import NS_PER_S

__all__ = ["MotionTrace", "read_motion_trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionTrace:
    """What the gyroscope and the picture saw: 5 MB an hour at 50 and 10 Hz.

    Attributes:
        gyro_t_ns: (N,) int64, take clock, valid samples only.
        gyro_rad_s: (N, 3) float32.
        motion_t_ns: (M,) int64, non-decreasing, take clock: of the frames really used, which lie
            up to half a frame beside their grid times.
        motion: (M, 2) float64, shift since the row before as shares of width and height, right
            and down positive; NaN where unknown.
    """

    gyro_t_ns: npt.NDArray[np.int64]
    gyro_rad_s: npt.NDArray[np.float32]
    motion_t_ns: npt.NDArray[np.int64]
    motion: npt.NDArray[np.float64]


def read_motion_trace(
    parts: PartStore, *, imu_key: str, frames_key: str, seconds: float | None = None
) -> MotionTrace:
    """Read a take's motion, or that of its first ``seconds``, from its imu and frames parts.

    Raises:
        StoreDamagedError: if a part is missing or damaged.
    """
    until_ns = round(seconds * NS_PER_S) if seconds is not None else np.iinfo(np.int64).max
    points = _count(parts, "imu", imu_key, until_ns=until_ns)
    gyro_t, gyro, at = np.empty(points, np.int64), np.empty((points, 3), np.float32), 0
    # Copied as they come into what they need in the end: pieces of hours would clutter memory.
    for batch in parts.read("imu", imu_key):
        t_ns = batch.column("t_ns").to_numpy()
        keep = (t_ns < until_ns) & batch.column("valid").to_numpy(zero_copy_only=False)
        here = slice(at, at + int(keep.sum()))
        gyro_t[here] = t_ns[keep]
        for axis, name in enumerate(IMU_CHANNELS[3:]):
            gyro[here, axis] = batch.column(name).to_numpy()[keep]
        at = here.stop
    gyro_t, gyro = gyro_t[:at], gyro[:at]
    frames = _count(parts, "frames", frames_key, until_ns=until_ns)
    motion_t, motion, at = np.empty(frames, np.int64), np.empty((frames, 2)), 0
    for batch in parts.read("frames", frames_key):
        keep = batch.column("t_ns").to_numpy() < until_ns
        here = slice(at, at + int(keep.sum()))
        motion_t[here] = batch.column("pts_ns").to_numpy()[keep]
        for axis, name in enumerate(("motion_dx", "motion_dy")):
            motion[here, axis] = batch.column(name).to_numpy(zero_copy_only=False)[keep]
        at = here.stop
    return MotionTrace(gyro_t_ns=gyro_t, gyro_rad_s=gyro, motion_t_ns=motion_t, motion=motion)


def _count(parts: PartStore, kind: PartKind, key: str, *, until_ns: int) -> int:
    t_ns = parts.read_columns(kind, key, names=("t_ns",))["t_ns"].to_numpy()
    return int(np.count_nonzero(t_ns < until_ns))
