"""The IMU of a synthetic take as its chips would have recorded it: rotated, bent, biased, noisy."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from pipelines.synthetic.truth import (
    ImuStreamTruth,
    TakeTruth,
    drop_gap,
    imu_sample_ns,
    take_motion,
)
from pipelines.synthetic.vrs_writer import AriaImuBlock, AriaImuStream, write_aria_vrs

__all__ = ["IMU_CALIBRATIONS", "ChipCalibration", "make_calib_json", "write_take_vrs"]

_BACKWARD_NS: Final = 50_000_000
# One sample in so many is NaN: the accelerometer's, and half way between them the gyroscope's.
_NAN_EVERY: Final = 400
_BLOCK_NS: Final = 20_000_000_000
_ACCEL_NOISE_M_S2: Final = 0.06
_GYRO_NOISE_RAD_S: Final = 0.006


_SLAM_LEFT: Final = {
    "Label": "camera-slam-left",
    "SerialNumber": "synthetic",
    "Calibrated": True,
    "Projection": {
        "Name": "FisheyeRadTanThinPrism",
        "Description": "see FisheyeRadTanThinPrism.h",
        "Params": [240.0, 319.5, 239.5, *[0.0] * 12],
    },
    "T_Device_Camera": {"Translation": [0.0, 0.0, 0.0], "UnitQuaternion": [1.0, [0.0, 0.0, 0.0]]},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChipCalibration:
    """How a chip's raw values come about: ``raw = matrix @ R.T @ device + bias``."""

    instance: int
    nominal_rate_hz: float
    sensor_model: str
    accel_bias: tuple[float, float, float]
    gyro_bias: tuple[float, float, float]
    accel_matrix: tuple[tuple[float, float, float], ...]
    gyro_matrix: tuple[tuple[float, float, float], ...]
    quaternion_wxyz: tuple[float, float, float, float]
    translation_m: tuple[float, float, float]


def _unit(*wxyz: float) -> tuple[float, float, float, float]:
    w, x, y, z = (np.asarray(wxyz) / np.linalg.norm(wxyz)).tolist()
    return w, x, y, z


IMU_CALIBRATIONS: Final = {
    "imu-right": ChipCalibration(
        instance=1,
        nominal_rate_hz=1000.0,
        sensor_model="BMI085",
        accel_bias=(0.08, -0.12, 0.21),
        gyro_bias=(-0.004, 0.011, 0.006),
        accel_matrix=((1.006, 0.002, -0.003), (0.0, 0.998, 0.004), (0.0, 0.0, 1.003)),
        gyro_matrix=((0.997, -0.004, 0.002), (0.003, 1.004, -0.001), (-0.002, 0.005, 1.001)),
        quaternion_wxyz=_unit(0.61, -0.78, -0.08, 0.06),
        translation_m=(0.004, -0.11, 0.002),
    ),
    "imu-left": ChipCalibration(
        instance=2,
        nominal_rate_hz=800.0,
        sensor_model="BMI263",
        accel_bias=(-0.15, 0.05, 0.11),
        gyro_bias=(0.009, -0.003, -0.007),
        accel_matrix=((0.995, -0.003, 0.001), (0.0, 1.004, 0.002), (0.0, 0.0, 0.999)),
        gyro_matrix=((1.003, 0.002, -0.004), (-0.001, 0.996, 0.003), (0.004, -0.002, 1.002)),
        quaternion_wxyz=_unit(0.70, 0.06, -0.05, 0.71),
        translation_m=(0.001, 0.003, -0.001),
    ),
}


def write_take_vrs(path: Path, *, take: TakeTruth) -> None:
    """Write the take's IMU-only VRS file, in blocks of time.

    The calibration's time offsets stand in the file as real units state them; the samples are
    stamped on the device clock without any, but for the take's fault.
    """
    streams = [
        AriaImuStream(
            instance=stream.instance,
            label=stream.label,
            nominal_rate_hz=IMU_CALIBRATIONS[stream.label].nominal_rate_hz,
            sensor_model=IMU_CALIBRATIONS[stream.label].sensor_model,
        )
        for stream in take.imu
    ]
    write_aria_vrs(
        path,
        streams=streams,
        blocks=_blocks(take),
        calib_json=None if take.fault == "no_calibration" else make_calib_json(),
        tags={
            "device_serial": "SYNTHETIC",
            "device_version": "DVT-S",
            "capture_time_epoch": "1650000000",
            "metadata": "{}",
            "session_id": take.capture_uid,
        },
        creation_id=take.seed + 1,
    )


def make_calib_json() -> str:
    """Return the device calibration in the form of Aria's ``calib_json`` tag."""
    return json.dumps(
        {
            "DeviceClassInfo": {"DeviceClass": "Aria", "BuildVersion": "DVT-S"},
            "OriginSpecification": {"Type": "Custom", "ChildLabel": "camera-slam-left"},
            "ImuCalibrations": [
                {
                    "Label": label,
                    "SerialNumber": f"synthetic-{chip.sensor_model}",
                    "Calibrated": True,
                    "Accelerometer": {
                        "Bias": {"Name": "Constant", "Offset": chip.accel_bias},
                        "Model": {"Name": "Linear", "RectificationMatrix": chip.accel_matrix},
                        "TimeOffsetSec_Device_Accel": 0.0029,
                    },
                    "Gyroscope": {
                        "Bias": {"Name": "Constant", "Offset": chip.gyro_bias},
                        "Model": {"Name": "Linear", "RectificationMatrix": chip.gyro_matrix},
                        "TimeOffsetSec_Device_Gyro": 0.0041,
                    },
                    "T_Device_Imu": {
                        "Translation": chip.translation_m,
                        "UnitQuaternion": [chip.quaternion_wxyz[0], chip.quaternion_wxyz[1:]],
                    },
                }
                for label, chip in IMU_CALIBRATIONS.items()
            ],
            # Readers ask for the camera that the device frame is tied to.
            "CameraCalibrations": [_SLAM_LEFT],
            "MagCalibrations": [],
            "BaroCalibrations": [],
            "MicCalibrations": [],
        }
    )


def _blocks(take: TakeTruth) -> Iterator[list[AriaImuBlock]]:
    motion = take_motion(take)
    rng = np.random.default_rng([take.seed, 5])
    edges_ns = [stream.first_ns - 1_000_000 for stream in take.imu]
    start_ns = min(edges_ns)
    done = [0] * len(take.imu)
    while any(n < stream.samples for n, stream in zip(done, take.imu, strict=True)):
        start_ns += _BLOCK_NS
        block = []
        for number, stream in enumerate(take.imu):
            t_ns = _stamps_before(stream, first=done[number], end_ns=start_ns)
            done[number] += len(t_ns)
            t_ns = drop_gap(t_ns, take.imu_gap_ns)
            device = motion.imu((t_ns - take.origin_ns).astype(np.float64) / 1e9)
            device[:, :3] += (
                rng.normal(0, _ACCEL_NOISE_M_S2, (len(t_ns), 3)) * take.participant.noise
            )
            device[:, 3:] += (
                rng.normal(0, _GYRO_NOISE_RAD_S, (len(t_ns), 3)) * take.participant.noise
            )
            block.append(_as_recorded(stream, take=take, t_ns=t_ns, device=device))
        yield block


def _stamps_before(stream: ImuStreamTruth, *, first: int, end_ns: int) -> npt.NDArray[np.int64]:
    most = int((end_ns - stream.first_ns) * stream.rate_hz / 1e9) + 2
    t_ns = imu_sample_ns(stream, first=first, count=max(0, min(most, stream.samples) - first))
    return t_ns[t_ns < end_ns]


def _as_recorded(
    stream: ImuStreamTruth,
    *,
    take: TakeTruth,
    t_ns: npt.NDArray[np.int64],
    device: npt.NDArray[np.float64],
) -> AriaImuBlock:
    chip = IMU_CALIBRATIONS[stream.label]
    device_from_imu = Rotation.from_quat(chip.quaternion_wxyz, scalar_first=True).as_matrix()
    # Rows: (R.T @ v) is v @ R; then the chip's own matrix and bias.
    accel = device[:, :3] @ device_from_imu @ np.transpose(chip.accel_matrix) + chip.accel_bias
    gyro = device[:, 3:] @ device_from_imu @ np.transpose(chip.gyro_matrix) + chip.gyro_bias
    if take.fault == "imu_nan":
        # Numbered by the stamps: however the take is cut into blocks, the same samples.
        lost = (
            np.rint((t_ns - stream.first_ns) * stream.rate_hz / 1e9).astype(np.int64) % _NAN_EVERY
        )
        accel[lost == 0] = np.nan
        gyro[lost == _NAN_EVERY // 2] = np.nan
    stamps_ns = t_ns + take.imu_late_ns
    if take.fault == "imu_backward":
        middle_ns = take.origin_ns + round(take.frames * take.clock.period_ns / 2)
        stamps_ns = np.where(t_ns < middle_ns, stamps_ns, stamps_ns - _BACKWARD_NS)
    return AriaImuBlock(
        instance=stream.instance,
        t_ns=t_ns,
        accel_m_s2=accel,
        gyro_rad_s=gyro,
        stamps_ns=stamps_ns,
    )
