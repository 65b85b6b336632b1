"""IMU samples as recorded, and the Arrow schema of the resampled imu part."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.errors import Problem, SchemaError

__all__ = ["IMU_CHANNELS", "IMU_PART_SCHEMA", "IMU_UNITS", "ImuSamples", "TriadSamples"]

IMU_CHANNELS: Final = ("accel_x", "accel_y", "accel_z", "gyro_x", "gyro_y", "gyro_z")
IMU_UNITS: Final = ("m/s2", "m/s2", "m/s2", "rad/s", "rad/s", "rad/s")

IMU_PART_SCHEMA: Final = pa.schema(
    [
        pa.field("t_ns", pa.int64(), nullable=False),
        *(pa.field(name, pa.float32(), nullable=False) for name in IMU_CHANNELS),
        # Longest interval between recorded samples that this grid point's value rests on.
        pa.field("gap_ns", pa.int64(), nullable=False),
        # False outside the recording or inside a gap longer than imu.max_gap_ms; values are then 0.
        pa.field("valid", pa.bool_(), nullable=False),
        # --- recorded samples with a stamp in [t_ns, t_ns + step) ---
        pa.field("samples", pa.int32(), nullable=False),  # of the accelerometer
        # Stamps of either sensor whose sample was flagged invalid, empty or not finite.
        pa.field("invalid_samples", pa.int32(), nullable=False),
        # Stamps of either sensor with an axis at the end of its range.
        pa.field("saturated_samples", pa.int32(), nullable=False),
        # Sums over the accelerometer's intervals that end here and are no gap: with their number,
        # a window's standard deviation of intervals (jitter) follows.
        pa.field("intervals", pa.int32(), nullable=False),
        pa.field("interval_sum_ns", pa.int64(), nullable=False),
        pa.field("interval_sum_us2", pa.float64(), nullable=False),
    ]
)


def _read_only(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    view = array.view()
    view.flags.writeable = False
    return view


def _no_stamps() -> npt.NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class TriadSamples:
    """Samples of one three-axis sensor on the take clock.

    Attributes:
        t_ns: (N,) int64, strictly increasing, take clock.
        values: (N, 3) float64, m/s2 for an accelerometer, rad/s for a gyroscope.

    Raises:
        SchemaError: with every shape, dtype, order or finiteness problem found.
    """

    t_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        problems: list[Problem] = []
        if self.t_ns.dtype != np.int64 or self.t_ns.ndim != 1:
            problems.append(
                Problem(
                    "t_ns", f"must be int64 (N,), got {self.t_ns.dtype} {self.t_ns.shape}", "shape"
                )
            )
        if self.values.dtype != np.float64 or self.values.shape != (*self.t_ns.shape, 3):
            problems.append(
                Problem(
                    "values",
                    f"must be float64 ({len(self.t_ns)}, 3), "
                    f"got {self.values.dtype} {self.values.shape}",
                    "shape",
                )
            )
        if not problems and len(self.t_ns) > 1 and int(np.diff(self.t_ns).min()) <= 0:
            at = int(np.argmax(np.diff(self.t_ns) <= 0))
            problems.append(
                Problem(
                    "t_ns",
                    f"must be strictly increasing, got a step back after sample {at}",
                    "order",
                )
            )
        if not problems and not np.isfinite(self.values).all():
            bad = int((~np.isfinite(self.values)).any(axis=1).sum())
            problems.append(
                Problem("values", f"must be finite, got {bad} samples that are not", "finite")
            )
        if problems:
            raise SchemaError(problems)
        object.__setattr__(self, "t_ns", _read_only(self.t_ns))
        object.__setattr__(self, "values", _read_only(self.values))

    def __len__(self) -> int:
        return len(self.t_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImuSamples:
    """A run of accelerometer and gyroscope samples, each with its own stamps.

    Readers yield a take as successive runs: each sensor's stamps go on increasing from run to run.
    """

    accel: TriadSamples
    gyro: TriadSamples
    invalid_ns: npt.NDArray[np.int64] = field(default_factory=_no_stamps)
    """(K,) int64, non-decreasing: stamps of samples left out (flagged invalid, empty, not finite),
    once for each sensor."""
    saturated_ns: npt.NDArray[np.int64] = field(default_factory=_no_stamps)
    """(K,) int64, non-decreasing: stamps of kept samples with an axis at the end of its range,
    once for each sensor."""
