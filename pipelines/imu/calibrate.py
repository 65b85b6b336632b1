"""From a chip's own axes to the device frame.

An Aria unit's factory calibration says of each sensor ``raw = M rectified + bias`` in the chip's
axes, and how the chip sits in the device: ``R`` of ``T_Device_Imu``. Rectified and rotated, the
left and the right IMU of one unit give the same signal.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ImuCalibration", "TriadCalibration", "apply_calibration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TriadCalibration:
    """Linear model of one three-axis sensor.

    Attributes:
        matrix: (3, 3) M, unitless, invertible.
        bias: (3,) in the sensor's unit.
        time_offset_ns: of the sensor against device time; recorded, not applied.
    """

    matrix: npt.NDArray[np.float64]
    bias: npt.NDArray[np.float64]
    time_offset_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImuCalibration:
    """Calibration of one IMU.

    Attributes:
        accel: of the accelerometer.
        gyro: of the gyroscope.
        rotation: (3, 3) R of T_Device_Imu, chip axes to device axes.
    """

    accel: TriadCalibration
    gyro: TriadCalibration
    rotation: npt.NDArray[np.float64]


def apply_calibration(
    raw: npt.NDArray[np.float64],
    *,
    triad: TriadCalibration,
    rotation: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return ``R M^-1 (raw - bias)`` of each sample.

    Args:
        raw: (N, 3) samples in the chip's axes.
        triad: model of the sensor.
        rotation: (3, 3) chip axes to device axes.

    Returns:
        (N, 3) samples in the device frame, same unit.

    Raises:
        numpy.linalg.LinAlgError: if the rectification matrix has no inverse.
    """
    whole = rotation @ np.linalg.inv(triad.matrix)
    x, y, z = (axis - bias for axis, bias in zip(raw.T, triad.bias, strict=True))
    # Sums of fixed order: a matrix product may round otherwise for another number of samples.
    turned = np.empty((3, len(raw)))
    for axis, row in zip(turned, whole, strict=True):
        np.add(x * row[0] + y * row[1], z * row[2], out=axis)
    return turned.T
