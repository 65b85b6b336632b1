"""The turn rates and picture shifts of a take, as its parts hold them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.parts.store import PartStore
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
    gyro_t: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    gyro: list[npt.NDArray[np.float32]] = [np.empty((0, 3), np.float32)]
    for batch in parts.read("imu", imu_key):
        t_ns = batch.column("t_ns").to_numpy()
        keep = (t_ns < until_ns) & batch.column("valid").to_numpy(zero_copy_only=False)
        gyro_t.append(t_ns[keep])
        gyro.append(np.stack([batch.column(c).to_numpy() for c in IMU_CHANNELS[3:]], axis=1)[keep])
    motion_t: list[npt.NDArray[np.int64]] = [np.empty(0, np.int64)]
    motion: list[npt.NDArray[np.float64]] = [np.empty((0, 2))]
    for batch in parts.read("frames", frames_key):
        t_ns = batch.column("t_ns").to_numpy()
        keep = t_ns < until_ns
        columns = [
            batch.column(c).to_numpy(zero_copy_only=False).astype(np.float64)
            for c in ("motion_dx", "motion_dy")
        ]
        # A copy: the batch's embeddings must not outlive their turn.
        motion_t.append(batch.column("pts_ns").to_numpy()[keep])
        motion.append(np.stack(columns, axis=1)[keep])
    return MotionTrace(
        gyro_t_ns=np.concatenate(gyro_t),
        gyro_rad_s=np.concatenate(gyro),
        motion_t_ns=np.concatenate(motion_t),
        motion=np.concatenate(motion),
    )
