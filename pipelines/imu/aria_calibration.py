"""The factory calibration of an Aria unit's IMUs, from the file's own tag or by the library.

Read from the tag, it is the library's to the bit: the numbers are the file's own, and the rotation
is computed as there.
"""

import json
from collections.abc import Sequence
from math import isfinite, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.imu.calibrate import ImuCalibration, TriadCalibration
from pipelines.imu.vrs_file import UnknownVrsError
from schemas.errors import TakeError
from schemas.time import NS_PER_S

__all__ = ["parse_aria_calibration", "read_aria_calibration"]


def parse_aria_calibration(
    calib_json: str | None, *, stream: str, path: Path
) -> ImuCalibration | None:
    """Return the calibration of one IMU that a file's tag holds, or None if there is none.

    Args:
        calib_json: the tag ``calib_json``, None where the file has none.
        stream: label of the IMU.
        path: of the file, for messages.

    Raises:
        UnknownVrsError: if the tag is not as an Aria unit of the first generation has it.
        TakeError: ``no_calibration`` if a rectification matrix has no inverse.
    """
    if calib_json is None:
        return None
    try:
        whole = json.loads(calib_json)
        _check_device(whole)
        imus = [imu for imu in whole["ImuCalibrations"] if imu["Label"] == stream]
        if not imus:
            return None
        (imu,) = imus
        w, xyz = imu["T_Device_Imu"]["UnitQuaternion"]
        calibration = ImuCalibration(
            accel=_parse_triad(imu["Accelerometer"], offset="TimeOffsetSec_Device_Accel"),
            gyro=_parse_triad(imu["Gyroscope"], offset="TimeOffsetSec_Device_Gyro"),
            rotation=_rotation(_floats([w, *_list(xyz, 3)])),
        )
    # A number may be too large for a float, and brackets may nest too deep.
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        raise UnknownVrsError(f"calibration that cannot be read: {error!r}") from error
    _check_inverse(calibration, path=path)
    return calibration


def read_aria_calibration(
    provider: Any,  # noqa: ANN401 - the library ships no types
    *,
    stream: str,
    path: Path,
) -> ImuCalibration | None:
    """Return the factory calibration of one IMU, or None if the file has none.

    Args:
        provider: of projectaria-tools, open.
        stream: label of the IMU.
        path: of the file, for messages.

    Raises:
        TakeError: ``no_calibration`` if a rectification matrix has no inverse.
    """
    device = provider.get_device_calibration()
    imu = None if device is None else device.get_imu_calib(stream)
    if imu is None:
        return None
    calibration = ImuCalibration(
        accel=_triad(imu.get_accel_model(), offset_s=imu.get_time_offset_sec_device_accel()),
        gyro=_triad(imu.get_gyro_model(), offset_s=imu.get_time_offset_sec_device_gyro()),
        rotation=np.asarray(imu.get_transform_device_imu().rotation().to_matrix(), np.float64),
    )
    _check_inverse(calibration, path=path)
    return calibration


def _check_inverse(calibration: ImuCalibration, *, path: Path) -> None:
    for name, triad in (("accelerometer", calibration.accel), ("gyroscope", calibration.gyro)):
        if not np.isfinite(triad.matrix).all() or np.linalg.cond(triad.matrix) > 1e6:
            raise TakeError(
                "no_calibration",
                f"rectification matrix of the {name} must have an inverse, "
                f"got {triad.matrix.tolist()} [{path}]",
            )


def _triad(model: Any, *, offset_s: float) -> TriadCalibration:  # noqa: ANN401
    return TriadCalibration(
        matrix=np.asarray(model.get_rectification(), dtype=np.float64),
        bias=np.asarray(model.get_bias(), dtype=np.float64),
        time_offset_ns=round(offset_s * NS_PER_S),
    )


def _check_device(whole: dict[str, Any]) -> None:
    device = whole["DeviceClassInfo"]["DeviceClass"]
    origin = whole["OriginSpecification"]["ChildLabel"]
    if (device, origin) != ("Aria", "camera-slam-left"):
        raise ValueError(f"calibration of a device {device!r} with its origin at {origin!r}")


def _parse_triad(sensor: dict[str, Any], *, offset: str) -> TriadCalibration:
    rows = _list(sensor["Model"]["RectificationMatrix"], 3)
    return TriadCalibration(
        matrix=np.array([_floats(_list(row, 3)) for row in rows]),
        bias=np.array(_floats(_list(sensor["Bias"]["Offset"], 3))),
        time_offset_ns=round(_floats([sensor[offset]])[0] * NS_PER_S),
    )


def _list(value: object, length: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != length:
        raise ValueError(f"must be a list of {length}, got {value!r:.60}")
    return value


def _floats(numbers: Sequence[object]) -> list[float]:
    floats = [float(x) for x in numbers if type(x) in (int, float)]  # type: ignore[arg-type]
    if len(floats) != len(numbers) or not all(isfinite(x) for x in floats):
        raise ValueError(f"must be finite numbers, got {numbers!r:.60}")
    return floats


def _rotation(wxyz: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return the rotation matrix (3, 3) of a quaternion, normalised first.

    In the order of Eigen's own steps, so that the library's matrix comes out to the bit.

    Raises:
        ZeroDivisionError: if the quaternion is zero.
    """
    w, x, y, z = wxyz
    norm = sqrt((x * x + y * y) + (z * z + w * w))
    w, x, y, z = w / norm, x / norm, y / norm, z / norm
    tx, ty, tz = 2 * x, 2 * y, 2 * z
    twx, twy, twz = tx * w, ty * w, tz * w
    txx, txy, txz = tx * x, ty * x, tz * x
    tyy, tyz, tzz = ty * y, tz * y, tz * z
    return np.array(
        [
            [1 - (tyy + tzz), txy - twz, txz + twy],
            [txy + twz, 1 - (txx + tzz), tyz - twx],
            [txz - twy, tyz + twx, 1 - (txx + tyy)],
        ]
    )
