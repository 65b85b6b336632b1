"""IMU samples of a GoPro clip, from the metadata track (GPMF) of its mp4.

Every sample, those of the short last payload too, lies on its sensor's line from running number to
time. The offset to the picture is the camera's own and about a frame (GoPro says no more); the
sync audit measures it. Joined chapters stand in ``gpmf_chapters``.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.datasets.base import ImuRecording
from pipelines.imu.gpmf_axes import axes_of, stream_rotation
from pipelines.imu.gpmf_camera import read_camera_model
from pipelines.imu.gpmf_clock import GpmfClocks, SampleLine
from pipelines.imu.gpmf_klv import GpmfError, GpmfStream, full_range, read_samples
from pipelines.imu.gpmf_track import GpmfPayload, gpmf_faults, read_payloads
from pipelines.imu.plausible import find_plausible
from schemas.errors import TakeError
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval

__all__ = ["GPMF_STREAM", "open_gpmf_imu", "read_gpmf_span"]

GPMF_STREAM: Final = "gpmf"
"""Label of the only IMU a GoPro clip holds."""

_MISSING: Final = {"ACCL": "accel_missing", "GYRO": "gyro_missing"}
_UNITS: Final = {"ACCL": ("m/s\xb2", "m/s\xc2\xb2"), "GYRO": ("rad/s",)}
# From a hundred thousand samples a second to one in ten: a sensor's rate, or its stamps are none.
_STEPS_NS: Final = (10_000, 10 * NS_PER_S)
# A payload this far from the line means lost payloads or a clock that jumps.
_MAX_OFF_NS: Final = 100 * NS_PER_MS


def open_gpmf_imu(path: Path, *, origin_ns: int, accept_sensor_frame: bool) -> ImuRecording:
    """Open a GoPro clip's accelerometer and gyroscope as a stream of runs, a payload each.

    Samples at an end of the range that their integers hold are told as saturated; samples that
    are no number, or none that a sensor can read, are left out and told as invalid.

    Args:
        path: mp4 file.
        origin_ns: presentation time of the first video frame, subtracted from every stamp.
        accept_sensor_frame: leave every clip's axes in file order, known or not.

    Returns:
        Runs in the device frame, or with ``accept_sensor_frame`` in the sensor's; ``info`` gives
        camera, axis orders, what the times rest on, rates and counts.

    Raises:
        TakeError: ``video_unreadable``; ``imu_stream_missing`` without a metadata track;
            ``accel_missing``, ``gyro_missing``; ``no_calibration`` if the camera's axis order is
            unknown; ``imu_too_short`` with fewer than two payloads; ``gpmf_malformed``;
            ``imu_clock_unstable`` if the rate is none of a sensor, and from the runs if payloads
            lie over 100 ms off the line.
    """
    survey = _survey(path)
    sensors = survey.sensors
    _check_present(sensors, path=path)
    accel, gyro = sensors["ACCL"], sensors["GYRO"]
    for sensor in (accel, gyro):
        if sensor.axes is None and not accept_sensor_frame:
            raise TakeError(
                "no_calibration",
                f"axis order of {sensor.key} must be known, got camera {sensor.camera!r}; "
                f"imu.accept_sensor_frame=true keeps all takes in raw sensor axes [{path}]",
            )
    info: dict[str, str | int | float] = {
        "camera": accel.camera,
        "camera_model": survey.model,
        "timing": survey.timing,
    }
    for name, sensor in (("accel", accel), ("gyro", gyro)):
        info[f"{name}_axes"] = sensor.axes or "unknown"
        info[f"{name}_rate_hz"] = NS_PER_S / sensor.line.step_ns
        info[f"{name}_samples"] = sensor.samples
    runs = _read_runs(path, survey, origin_ns=origin_ns, rotate=not accept_sensor_frame)
    frame = "sensor" if accept_sensor_frame else "device"
    return ImuRecording(runs=runs, frame=frame, stream=GPMF_STREAM, info=info)


def read_gpmf_span(path: Path, *, origin_ns: int) -> Interval:
    """Return the stretch in which both sensors have samples; ``origin_ns`` is its time zero.

    Raises:
        TakeError: as ``open_gpmf_imu``; ``imu_missing`` if the sensors never run together.
    """
    sensors = _survey(path).sensors
    _check_present(sensors, path=path)
    start_ns = max(s.line.first_ns for s in sensors.values())
    end_ns = min(s.line.first_ns + (s.samples - 1) * s.line.step_ns for s in sensors.values())
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
    rotation: npt.NDArray[np.float64] | None
    samples: int
    line: SampleLine


@dataclass(frozen=True, slots=True, kw_only=True)
class _Survey:
    """What one pass through a clip's track tells."""

    sensors: dict[str, _Sensor]
    model: str
    timing: str
    stamp_offset_ns: float


def _survey(path: Path) -> _Survey:
    """Go through the whole track once for each sensor's axes, count and line."""
    clocks = GpmfClocks()
    heads: dict[str, GpmfStream] = {}
    samples = dict.fromkeys(_MISSING, 0)
    with gpmf_faults(path):
        for payload in read_payloads(path):
            for key, stream in payload.streams.items():
                if key not in heads:
                    _check_unit(stream, key)
                    heads[key] = stream
                clocks.add(
                    key,
                    payload.numbers[key],
                    pts_ns=payload.pts_ns,
                    stamp_ns=payload.stamps_ns.get(key),
                )
                samples[key] += stream.records[key].repeat
        model = read_camera_model(path)
        sensors: dict[str, _Sensor] = {}
        for key, line in clocks.lines().items():
            if line.step_ns <= 0:
                raise TakeError(
                    "imu_too_short", f"{key} must come in two payloads to tell its rate [{path}]"
                )
            if not _STEPS_NS[0] <= line.step_ns <= _STEPS_NS[1]:
                raise TakeError(
                    "imu_clock_unstable",
                    f"{key} must be sampled once in {_STEPS_NS[0]} ns to {_STEPS_NS[1]} ns, got "
                    f"{line.step_ns:g} ns [{path}]",
                )
            axes = axes_of(heads[key], model=model)
            sensors[key] = _Sensor(
                key=key,
                camera=heads[key].device,
                axes=axes,
                rotation=stream_rotation(heads[key], axes) if axes is not None else None,
                samples=samples[key],
                line=line,
            )
    return _Survey(
        sensors=sensors, model=model, timing=clocks.timing, stamp_offset_ns=clocks.offset_ns
    )


def _check_unit(stream: GpmfStream, key: str) -> None:
    unit = stream.records["SIUN"].text() if "SIUN" in stream.records else _UNITS[key][0]
    if unit not in _UNITS[key]:
        raise GpmfError(f"SIUN of {key} must be {_UNITS[key][0]}, got {unit!r}")


def _read_runs(
    path: Path, survey: _Survey, *, origin_ns: int, rotate: bool
) -> Iterator[ImuSamples]:
    with gpmf_faults(path):
        for payload in read_payloads(path):
            accel, gyro = (
                _read_triad(key, survey, payload, origin_ns=origin_ns, rotate=rotate, path=path)
                for key in _MISSING
            )
            yield ImuSamples(
                accel=accel.triad,
                gyro=gyro.triad,
                invalid_ns=np.sort(np.concatenate([accel.invalid_ns, gyro.invalid_ns])),
                saturated_ns=np.sort(np.concatenate([accel.saturated_ns, gyro.saturated_ns])),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _TriadRun:
    """One sensor's samples of one payload, and the stamps of those left out or saturated."""

    triad: TriadSamples
    invalid_ns: npt.NDArray[np.int64]
    saturated_ns: npt.NDArray[np.int64]


def _read_triad(
    key: str, survey: _Survey, payload: GpmfPayload, *, origin_ns: int, rotate: bool, path: Path
) -> _TriadRun:
    if key not in payload.streams:
        none = np.zeros(0, dtype=np.int64)
        nothing = TriadSamples(t_ns=none, values=np.zeros((0, 3)))
        return _TriadRun(triad=nothing, invalid_ns=none, saturated_ns=none)
    sensor, stream = survey.sensors[key], payload.streams[key]
    values = read_samples(stream, key)
    if values.shape[1] != 3:
        raise GpmfError(f"{key} must have 3 columns, got {values.shape[1]}")
    written_ns = float(payload.pts_ns)
    if survey.timing == "stmp":
        written_ns = payload.stamps_ns[key] + survey.stamp_offset_ns
    # In floats: a line through broken stamps may lead beyond int64.
    off_ns = int(sensor.line.at_ns(payload.numbers[key]) - written_ns)
    if abs(off_ns) > _MAX_OFF_NS:
        raise TakeError(
            "imu_clock_unstable",
            f"{key} payloads must lie within {_MAX_OFF_NS // NS_PER_MS} ms of a steady "
            f"rate, got {off_ns // NS_PER_MS} ms at {payload.pts_ns / NS_PER_S:.1f} s [{path}]",
        )
    numbers = payload.numbers[key] + np.arange(len(values), dtype=np.int64)
    t_ns = sensor.line.t_ns(numbers) - origin_ns
    low, high = full_range(stream.records[key])
    raw = stream.records[key].numbers()
    # A sensor clips at the same size either way: its least number may be one less.
    saturated = ((raw <= max(low, -high)) | (raw >= high)).any(axis=1)
    whole = find_plausible(values)
    values = values[whole]
    if rotate and sensor.rotation is not None:
        values = values @ sensor.rotation.T
    return _TriadRun(
        triad=TriadSamples(t_ns=t_ns[whole], values=values),
        invalid_ns=t_ns[~whole],
        saturated_ns=t_ns[whole & saturated],
    )
