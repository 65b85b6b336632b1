"""IMU samples of an Aria recording (VRS), rectified and in the device frame.

Every stream of the file shares the device clock; the take clock maps it. The reading library
(projectaria-tools) writes some lines to the process's stderr on opening a file and offers no switch
for it.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from pipelines.align.clock import TakeClock
from pipelines.datasets.base import ImuRecording
from pipelines.imu.calibrate import ImuCalibration, TriadCalibration, apply_calibration
from schemas.errors import TakeError, UsageError
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_S

__all__ = ["open_aria_imu", "read_aria_calibration"]

# Samples this far outside the video are read: beyond the reach of any anti-alias filter.
_MARGIN_NS: Final = 2 * NS_PER_S
_RECORDS_PER_S: Final = 1000

# Of records read, and of those left out.
_COUNTS: Final = ("samples", "invalid_accel_samples", "invalid_gyro_samples", "repeated_stamps")

# A chip's range is a setting that the file does not state. In real recordings the 16-bit values
# step by 8 g and 1000 deg/s over 2^15 (imu-right), and by 4 g and 500 deg/s (imu-left); the chips'
# data sheets allow doubled ranges. So a raw value is at an end where it lies within a share of
# 1e-4 (3 steps) of the label's range or of a doubling of it, up to 16 g and 2000 deg/s.
_SMALLEST_RANGE: Final = {"imu-right": (8, 1000), "imu-left": (4, 500)}
_ANY_RANGE: Final = (4, 500)
_ACCEL_RANGES_G: Final = (4, 8, 16)
_GYRO_RANGES_DEG_S: Final = (500, 1000, 2000)
_AT_END: Final = 1e-4
_G_M_S2: Final = 9.80665

Scalar = TypeVar("Scalar", np.int64, np.bool_)


def open_aria_imu(
    path: Path,
    *,
    stream: str,
    clock: TakeClock,
    accept_sensor_frame: bool,
    run_s: float = 60,
) -> ImuRecording:
    """Open one IMU of an Aria file as a stream of runs on the take clock.

    Samples flagged invalid or not finite are dropped, and so are repeats of a stamp; ``info``
    counts them as the runs are read, and each run says where they and the saturated ones were. The
    calibration's time offsets are recorded, not applied.

    Args:
        path: VRS file.
        stream: label such as ``imu-right``; stream numbers differ between device generations.
        clock: of the take.
        accept_sensor_frame: leave every take in the chip's raw axes, calibrated or not.
        run_s: length of a run, seconds; runs of one recording can be read once.

    Raises:
        TakeError: ``vrs_unreadable``, ``imu_stream_missing`` or ``no_calibration``; from the runs
            ``imu_not_monotonic`` or ``vrs_unreadable``.
        UsageError: if projectaria-tools is not installed.
    """
    provider = _open_provider(path)
    stream_id = provider.get_stream_id_from_label(stream)
    if stream_id is None or not provider.check_stream_is_active(stream_id):
        raise TakeError("imu_stream_missing", f"VRS must hold the stream {stream} [{path}]")
    calibration = read_aria_calibration(provider, stream=stream, path=path)
    if calibration is None and not accept_sensor_frame:
        raise TakeError(
            "no_calibration",
            f"VRS must hold the calibration of {stream}; "
            f"imu.accept_sensor_frame=true keeps all takes in raw sensor axes [{path}]",
        )
    info: dict[str, str | int | float] = dict.fromkeys(_COUNTS, 0)
    if calibration is not None:
        info["accel_time_offset_ns"] = calibration.accel.time_offset_ns
        info["gyro_time_offset_ns"] = calibration.gyro.time_offset_ns
    runs = _read_runs(
        provider,
        stream_id,
        clock=clock,
        calibration=None if accept_sensor_frame else calibration,
        ends=_range_ends(stream),
        records=max(round(run_s * _RECORDS_PER_S), 1),
        info=info,
        path=path,
    )
    frame = "sensor" if accept_sensor_frame else "device"
    return ImuRecording(runs=runs, frame=frame, stream=stream, info=info)


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
    for name, triad in (("accelerometer", calibration.accel), ("gyroscope", calibration.gyro)):
        if not np.isfinite(triad.matrix).all() or np.linalg.cond(triad.matrix) > 1e6:
            raise TakeError(
                "no_calibration",
                f"rectification matrix of the {name} must have an inverse, "
                f"got {triad.matrix.tolist()} [{path}]",
            )
    return calibration


def _open_provider(path: Path) -> Any:  # noqa: ANN401 - the library ships no types
    try:
        from projectaria_tools.core import data_provider
    except ImportError as error:
        raise UsageError(
            "reading Aria VRS files needs projectaria-tools, the extra `aria`: "
            "pip install 'primus-pipelines[aria]'"
        ) from error
    try:
        provider = data_provider.create_vrs_data_provider(str(path))
    except (RuntimeError, ValueError) as error:
        raise TakeError("vrs_unreadable", f"VRS must be readable, got {error} [{path}]") from error
    if provider is None:
        raise TakeError("vrs_unreadable", f"VRS must be readable, got another format [{path}]")
    return provider


def _triad(model: Any, *, offset_s: float) -> TriadCalibration:  # noqa: ANN401
    return TriadCalibration(
        matrix=np.asarray(model.get_rectification(), dtype=np.float64),
        bias=np.asarray(model.get_bias(), dtype=np.float64),
        time_offset_ns=round(offset_s * NS_PER_S),
    )


def _read_runs(
    provider: Any,  # noqa: ANN401
    stream_id: Any,  # noqa: ANN401
    *,
    clock: TakeClock,
    calibration: ImuCalibration | None,
    ends: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    records: int,
    info: dict[str, str | int | float],
    path: Path,
) -> Iterator[ImuSamples]:
    counts = dict.fromkeys(_COUNTS, 0)
    bounds = np.array([clock.span.start_ns - _MARGIN_NS, clock.span.end_ns + _MARGIN_NS])
    first, total = _index_range(provider, stream_id, device_ns=clock.to_device_ns(bounds))
    previous_ns = -1
    for start in range(first, total, records):
        stop = min(start + records, total)
        data = [provider.get_imu_data_by_index(stream_id, i) for i in range(start, stop)]
        device_ns = _column(data, "capture_timestamp_ns", dtype=np.int64)
        # The library returns an empty record, of time zero, where it cannot read one.
        if int(device_ns.min()) <= 0:
            raise TakeError(
                "vrs_unreadable",
                f"IMU records must be readable, got a damaged one at "
                f"{start + int(np.argmax(device_ns <= 0))} [{path}]",
            )
        steps = np.diff(device_ns, prepend=previous_ns)
        if int(steps.min()) < 0:
            at = int(np.argmax(steps < 0))
            raise TakeError(
                "imu_not_monotonic",
                f"IMU stamps must not go back, got a step of {int(steps[at])} ns at record "
                f"{start + at} [{path}]",
            )
        fresh = steps > 0
        previous_ns = int(device_ns[-1])
        t_ns = clock.to_take_ns(device_ns)
        accel, bad_accel = _valid_triad(
            t_ns,
            _vectors(data, "accel_msec2"),
            valid=_column(data, "accel_valid", dtype=np.bool_),
            fresh=fresh,
        )
        gyro, bad_gyro = _valid_triad(
            t_ns,
            _vectors(data, "gyro_radsec"),
            valid=_column(data, "gyro_valid", dtype=np.bool_),
            fresh=fresh,
        )
        counts["samples"] += len(data)
        counts["invalid_accel_samples"] += len(bad_accel)
        counts["invalid_gyro_samples"] += len(bad_gyro)
        counts["repeated_stamps"] += int((~fresh).sum())
        info.update(counts)
        # Before the calibration moves the ends of the range.
        full_ns = [
            samples.t_ns[_at_end(samples.values, ends=some)]
            for samples, some in zip((accel, gyro), ends, strict=True)
        ]
        if calibration is not None:
            accel = _calibrated(accel, triad=calibration.accel, rotation=calibration.rotation)
            gyro = _calibrated(gyro, triad=calibration.gyro, rotation=calibration.rotation)
        yield ImuSamples(
            accel=accel,
            gyro=gyro,
            invalid_ns=np.sort(np.concatenate([bad_accel, bad_gyro])),
            saturated_ns=np.sort(np.concatenate(full_ns)),
        )


def _range_ends(stream: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the ends that accel (m/s2) and gyro (rad/s) values can stand at, both positive."""
    accel_g, gyro_deg_s = _SMALLEST_RANGE.get(stream, _ANY_RANGE)
    return (
        np.array([_G_M_S2 * g for g in _ACCEL_RANGES_G if g >= accel_g]),
        np.deg2rad([r for r in _GYRO_RANGES_DEG_S if r >= gyro_deg_s], dtype=np.float64),
    )


def _at_end(
    raw: npt.NDArray[np.float64], *, ends: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Return which samples of (N, 3) have an axis at an end of the range, (N,)."""
    share = np.abs(raw)[:, :, None] / ends
    at: npt.NDArray[np.bool_] = np.any(np.abs(share - 1) <= _AT_END, axis=(1, 2))
    return at


def _column(data: Sequence[Any], name: str, *, dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    return np.fromiter(map(attrgetter(name), data), dtype, len(data))


def _vectors(data: Sequence[Any], name: str) -> npt.NDArray[np.float64]:
    flat = np.fromiter(chain.from_iterable(map(attrgetter(name), data)), np.float64, 3 * len(data))
    return flat.reshape(-1, 3)


def _index_range(
    provider: Any,  # noqa: ANN401
    stream_id: Any,  # noqa: ANN401
    *,
    device_ns: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Return first and end index of the records within two instants, all of a trimmed file."""
    total: int = provider.get_num_data(stream_id)

    def stamp(index: int) -> int:
        at: int = provider.get_imu_data_by_index(stream_id, index).capture_timestamp_ns
        return at

    indices = range(total)
    first_ns, last_ns = (int(t) for t in device_ns)
    first, end = 0, total
    if total and stamp(0) < first_ns:
        first = bisect_left(indices, first_ns, key=stamp)
    if total and stamp(total - 1) > last_ns:
        end = bisect_right(indices, last_ns, key=stamp)
    return first, end


def _valid_triad(
    t_ns: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    *,
    valid: npt.NDArray[np.bool_],
    fresh: npt.NDArray[np.bool_],
) -> tuple[TriadSamples, npt.NDArray[np.int64]]:
    """Return the sound samples, and the stamps of the others."""
    sound = valid & np.isfinite(values).all(axis=1)
    keep = sound & fresh
    return TriadSamples(t_ns=t_ns[keep], values=values[keep]), t_ns[~sound]


def _calibrated(
    samples: TriadSamples, *, triad: TriadCalibration, rotation: npt.NDArray[np.float64]
) -> TriadSamples:
    values = apply_calibration(samples.values, triad=triad, rotation=rotation)
    return TriadSamples(t_ns=samples.t_ns, values=values)
