"""IMU samples of an Aria recording (VRS), rectified and in the device frame.

Every stream of the file shares the device clock; the take clock maps it. Records are read as arrays
from the file's own bytes; a file written in a way not known here is read by projectaria-tools,
record by record in a process of its own, and ``info`` says by which.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.align.clock import TakeClock
from pipelines.datasets.base import ImuRecording
from pipelines.imu.aria_calibration import parse_aria_calibration
from pipelines.imu.aria_library import open_aria_library
from pipelines.imu.aria_records import AriaImuSource, find_aria_imu, open_bulk_source
from pipelines.imu.calibrate import ImuCalibration, TriadCalibration, apply_calibration
from pipelines.imu.plausible import find_plausible
from pipelines.imu.vrs_file import UnknownVrsError, read_vrs_file
from schemas.errors import TakeError
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_S

__all__ = ["open_aria_imu"]

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

_BULK, _LIBRARY = "bulk", "projectaria-tools"

Info = dict[str, str | int | float]
Opener = Callable[[], AbstractContextManager[AriaImuSource]]


def open_aria_imu(
    path: Path,
    *,
    stream: str,
    clock: TakeClock,
    accept_sensor_frame: bool,
    run_s: float = 20,
) -> ImuRecording:
    """Open one IMU of an Aria file as a stream of runs on the take clock.

    Samples flagged invalid or not plausible are dropped, and so are repeats of a stamp; ``info``
    counts them as the runs are read, and each run says where they and the saturated ones were. The
    calibration's time offsets are recorded, not applied. ``read_by`` is ``bulk``, or
    ``projectaria-tools`` where only the library knew how.

    Args:
        path: VRS file.
        stream: label such as ``imu-right``; stream numbers differ between device generations.
        clock: of the take.
        accept_sensor_frame: leave every take in the chip's raw axes, calibrated or not.
        run_s: length of a run, seconds; runs of one recording can be read once.

    Raises:
        TakeError: ``vrs_unreadable``, ``imu_stream_missing`` or ``no_calibration``; from the runs
            ``imu_not_monotonic`` or ``vrs_unreadable``; from either ``vrs_layout_unknown`` if the
            file needs projectaria-tools and they are not installed.
    """
    info: Info = dict.fromkeys(_COUNTS, 0)
    try:
        calibration, opener = _open_bulk(path, stream=stream)
        info["read_by"] = _BULK
    except UnknownVrsError:
        calibration, opener = _open_by_library(path, stream=stream)
        info["read_by"] = _LIBRARY
    if calibration is None and not accept_sensor_frame:
        raise TakeError(
            "no_calibration",
            f"VRS must hold the calibration of {stream}; "
            f"imu.accept_sensor_frame=true keeps all takes in raw sensor axes [{path}]",
        )
    if calibration is not None:
        info["accel_time_offset_ns"] = calibration.accel.time_offset_ns
        info["gyro_time_offset_ns"] = calibration.gyro.time_offset_ns
    runs = _read_runs(
        opener,
        stream=stream,
        clock=clock,
        calibration=None if accept_sensor_frame else calibration,
        records=max(round(run_s * _RECORDS_PER_S), 1),
        info=info,
        path=path,
    )
    frame = "sensor" if accept_sensor_frame else "device"
    return ImuRecording(runs=runs, frame=frame, stream=stream, info=info)


def _open_bulk(path: Path, *, stream: str) -> tuple[ImuCalibration | None, Opener]:
    vrs = read_vrs_file(path)
    found = find_aria_imu(vrs, stream=stream)
    if found is None:
        raise TakeError("imu_stream_missing", f"VRS must hold the stream {stream} [{path}]")
    calibration = parse_aria_calibration(vrs.tags.get("calib_json"), stream=stream, path=path)
    return calibration, partial(open_bulk_source, vrs, stream=found)


def _open_by_library(path: Path, *, stream: str) -> tuple[ImuCalibration | None, Opener]:
    with open_aria_library(path, stream=stream) as opened:
        calibration = opened.calibration
    return calibration, partial(_library_source, path, stream=stream)


@contextmanager
def _library_source(path: Path, *, stream: str) -> Iterator[AriaImuSource]:
    with open_aria_library(path, stream=stream) as opened:
        yield opened.source


def _read_runs(
    opener: Opener,
    *,
    stream: str,
    clock: TakeClock,
    calibration: ImuCalibration | None,
    records: int,
    info: Info,
    path: Path,
) -> Iterator[ImuSamples]:
    with ExitStack() as opened:
        try:
            source = opened.enter_context(opener())
        except UnknownVrsError:
            # Its records were only now looked at.
            info["read_by"] = _LIBRARY
            source = opened.enter_context(_library_source(path, stream=stream))
        yield from _make_runs(
            source,
            clock=clock,
            calibration=calibration,
            ends=_range_ends(stream),
            records=records,
            info=info,
            path=path,
        )


def _make_runs(
    source: AriaImuSource,
    *,
    clock: TakeClock,
    calibration: ImuCalibration | None,
    ends: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    records: int,
    info: Info,
    path: Path,
) -> Iterator[ImuSamples]:
    counts = dict.fromkeys(_COUNTS, 0)
    bounds = np.array([clock.span.start_ns - _MARGIN_NS, clock.span.end_ns + _MARGIN_NS])
    first, total = _index_range(source, device_ns=clock.to_device_ns(bounds))
    previous_ns = -1
    for start in range(first, total, records):
        read = source.read(start, min(start + records, total))
        device_ns = read.device_ns
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
        accel, bad_accel = _valid_triad(t_ns, read.accel, valid=read.accel_valid, fresh=fresh)
        gyro, bad_gyro = _valid_triad(t_ns, read.gyro, valid=read.gyro_valid, fresh=fresh)
        counts["samples"] += len(device_ns)
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
    size = np.abs(raw)
    # Hardly a sample comes near; twice the share allows for the rounding of the bound itself.
    near = np.flatnonzero((size >= ends.min() * (1 - 2 * _AT_END)).any(axis=1))
    at = np.zeros(len(raw), np.bool_)
    at[near] = np.any(np.abs(size[near, :, None] / ends - 1) <= _AT_END, axis=(1, 2))
    return at


def _index_range(source: AriaImuSource, *, device_ns: npt.NDArray[np.int64]) -> tuple[int, int]:
    """Return first and end index of the records within two instants, all of a trimmed file."""
    total = len(source)

    def stamp(index: int) -> int:
        return int(source.read(index, index + 1).device_ns[0])

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
    sound = valid & find_plausible(values)
    keep = sound & fresh
    if keep.all():
        return TriadSamples(t_ns=t_ns, values=values), t_ns[:0]
    return TriadSamples(t_ns=t_ns[keep], values=values[keep]), t_ns[~sound]


def _calibrated(
    samples: TriadSamples, *, triad: TriadCalibration, rotation: npt.NDArray[np.float64]
) -> TriadSamples:
    values = apply_calibration(samples.values, triad=triad, rotation=rotation)
    return TriadSamples(t_ns=samples.t_ns, values=values)
