"""IMU samples of a GoPro clip, from the metadata track (GPMF) of its mp4.

Payloads arrive about once a second and hold 1 % more or fewer samples than the second before: their
stamps tell when the camera wrote them, not when a sample was taken. So each sensor gets one line
through (samples so far, by ``TSMP``; presentation time of the payload), and every sample, those of
the short last payload too, lies on it. The offset to the picture is the camera's own and about a
frame (GoPro says no more); the sync audit measures it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.datasets.base import ImuRecording
from pipelines.imu.gpmf_axes import axes_of, axes_rotation
from pipelines.imu.gpmf_klv import GpmfError, GpmfStream, read_samples
from pipelines.imu.gpmf_track import GpmfPayload, gpmf_faults, read_payloads
from schemas.errors import TakeError
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval

__all__ = ["GPMF_STREAM", "open_gpmf_imu", "read_gpmf_span"]

GPMF_STREAM: Final = "gpmf"
"""Label of the only IMU a GoPro clip holds."""

_MISSING: Final = {"ACCL": "accel_missing", "GYRO": "gyro_missing"}
_UNITS: Final = {"ACCL": ("m/s\xb2", "m/s\xc2\xb2"), "GYRO": ("rad/s",)}
# A payload this far from the line means lost payloads or a clock that jumps.
_MAX_OFF_NS: Final = 100 * NS_PER_MS


def open_gpmf_imu(path: Path, *, origin_ns: int, accept_sensor_frame: bool) -> ImuRecording:
    """Open a GoPro clip's accelerometer and gyroscope as a stream of runs, a payload each.

    Args:
        path: mp4 file.
        origin_ns: presentation time of the first video frame, subtracted from every stamp.
        accept_sensor_frame: leave every clip's axes in file order, known or not.

    Returns:
        Runs in the device frame, or with ``accept_sensor_frame`` in the sensor's; ``info`` gives
        camera, axis orders, rates and counts.

    Raises:
        TakeError: ``video_unreadable``; ``imu_stream_missing`` without a metadata track;
            ``accel_missing``, ``gyro_missing``; ``no_calibration`` if the camera's axis order is
            unknown; ``imu_too_short`` with fewer than two payloads; ``gpmf_malformed``;
            ``imu_clock_unstable`` from the runs if payloads lie over 100 ms off the line.
    """
    sensors = _survey(path)
    _check_present(sensors, path=path)
    accel, gyro = sensors["ACCL"], sensors["GYRO"]
    for sensor in (accel, gyro):
        if sensor.axes is None and not accept_sensor_frame:
            raise TakeError(
                "no_calibration",
                f"axis order of {sensor.key} must be known, got camera {sensor.camera!r}; "
                f"imu.accept_sensor_frame=true keeps all takes in raw sensor axes [{path}]",
            )
    info: dict[str, str | int | float] = {"camera": accel.camera}
    for name, sensor in (("accel", accel), ("gyro", gyro)):
        info[f"{name}_axes"] = sensor.axes or "unknown"
        info[f"{name}_rate_hz"] = NS_PER_S / sensor.step_ns
        info[f"{name}_samples"] = sensor.samples
    runs = _read_runs(path, sensors, origin_ns=origin_ns, rotate=not accept_sensor_frame)
    frame = "sensor" if accept_sensor_frame else "device"
    return ImuRecording(runs=runs, frame=frame, stream=GPMF_STREAM, info=info)


def read_gpmf_span(path: Path, *, origin_ns: int) -> Interval:
    """Return the stretch in which both sensors have samples; ``origin_ns`` is its time zero.

    Raises:
        TakeError: as ``open_gpmf_imu``; ``imu_missing`` if the sensors never run together.
    """
    sensors = _survey(path)
    _check_present(sensors, path=path)
    start_ns = max(s.first_ns for s in sensors.values())
    end_ns = min(s.first_ns + (s.samples - 1) * s.step_ns for s in sensors.values())
    if end_ns <= start_ns:
        raise TakeError("imu_missing", f"ACCL and GYRO must run at one time, got none [{path}]")
    return Interval(math.ceil(start_ns) - origin_ns, math.floor(end_ns) - origin_ns)


def _check_present(sensors: dict[str, "_Sensor"], *, path: Path) -> None:
    for key, code in _MISSING.items():
        if key not in sensors:
            raise TakeError(code, f"metadata track must hold {key}, got none [{path}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sensor:
    """One sensor of a clip: its axes, and the line from sample number to time."""

    key: str
    camera: str
    axes: str | None
    samples: int
    first: int
    first_ns: float
    """Time of sample number ``first`` on the container's clock."""
    step_ns: float

    def t_ns(self, number: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        t_ns: npt.NDArray[np.int64] = np.rint(
            self.first_ns + (number - self.first) * self.step_ns
        ).astype(np.int64)
        return t_ns


class _Line:
    """Least squares of time on sample number, in running integer sums: exact and bounded."""

    def __init__(self, first: int, first_ns: int) -> None:
        self.first, self._first_ns = first, first_ns
        self._n = self._k = self._t = self._kk = self._kt = 0

    def add(self, number: int, t_ns: int) -> None:
        k, t = number - self.first, t_ns - self._first_ns
        self._n, self._k, self._t = self._n + 1, self._k + k, self._t + t
        self._kk, self._kt = self._kk + k * k, self._kt + k * t

    def fit(self) -> tuple[float, float]:
        """Return the time of sample ``first`` and the step, ns; step 0 where it cannot be told."""
        spread = self._n * self._kk - self._k**2
        step_ns = (self._n * self._kt - self._k * self._t) / spread if spread else 0.0
        return self._first_ns + (self._t - step_ns * self._k) / self._n, step_ns


def _survey(path: Path) -> dict[str, _Sensor]:
    """Go through the whole track once for each sensor's axes, count and line."""
    lines: dict[str, _Line] = {}
    heads: dict[str, GpmfStream] = {}
    samples = dict.fromkeys(_MISSING, 0)
    with gpmf_faults(path):
        for payload in read_payloads(path):
            for key, stream in payload.streams.items():
                if key not in lines:
                    _check_head(stream, key)
                    heads[key] = stream
                    lines[key] = _Line(payload.numbers[key], payload.pts_ns)
                lines[key].add(payload.numbers[key], payload.pts_ns)
                samples[key] += stream.records[key].repeat
    sensors: dict[str, _Sensor] = {}
    for key, line in lines.items():
        first_ns, step_ns = line.fit()
        if step_ns <= 0:
            raise TakeError(
                "imu_too_short", f"{key} must come in two payloads to tell its rate [{path}]"
            )
        sensors[key] = _Sensor(
            key=key,
            camera=heads[key].device,
            axes=axes_of(heads[key]),
            samples=samples[key],
            first=line.first,
            first_ns=first_ns,
            step_ns=step_ns,
        )
    return sensors


def _check_head(stream: GpmfStream, key: str) -> None:
    unit = stream.records["SIUN"].text() if "SIUN" in stream.records else _UNITS[key][0]
    if unit not in _UNITS[key]:
        raise GpmfError(f"SIUN of {key} must be {_UNITS[key][0]}, got {unit!r}")
    axes = axes_of(stream)
    if axes is not None:
        axes_rotation(axes)


def _read_runs(
    path: Path, sensors: dict[str, _Sensor], *, origin_ns: int, rotate: bool
) -> Iterator[ImuSamples]:
    with gpmf_faults(path):
        for payload in read_payloads(path):
            accel, gyro = (
                _read_triad(sensors[key], payload, origin_ns=origin_ns, rotate=rotate, path=path)
                for key in _MISSING
            )
            yield ImuSamples(accel=accel, gyro=gyro)


def _read_triad(
    sensor: _Sensor, payload: GpmfPayload, *, origin_ns: int, rotate: bool, path: Path
) -> TriadSamples:
    if sensor.key not in payload.streams:
        return TriadSamples(t_ns=np.zeros(0, dtype=np.int64), values=np.zeros((0, 3)))
    values = read_samples(payload.streams[sensor.key], sensor.key)
    if values.shape[1] != 3:
        raise GpmfError(f"{sensor.key} must have 3 columns, got {values.shape[1]}")
    t_ns = sensor.t_ns(payload.numbers[sensor.key] + np.arange(len(values), dtype=np.int64))
    off_ns = int(t_ns[0]) - payload.pts_ns
    if abs(off_ns) > _MAX_OFF_NS:
        raise TakeError(
            "imu_clock_unstable",
            f"{sensor.key} payloads must lie within {_MAX_OFF_NS // NS_PER_MS} ms of a steady "
            f"rate, got {off_ns // NS_PER_MS} ms at {payload.pts_ns / NS_PER_S:.1f} s [{path}]",
        )
    if rotate and sensor.axes is not None:
        values = values @ axes_rotation(sensor.axes).T
    return TriadSamples(t_ns=t_ns - origin_ns, values=values)
