"""IMU samples of an Ego4D video, from its CSV file.

``canonical_timestamp_ms`` counts from the first frame of the canonical video, the take clock; rows
without one were recorded outside it. The files are known to hold rows in the wrong order, absurd
stamps, empty cells and whole components without an accelerometer. So the file is gone through
twice, in blocks: once to count what is there, once to hand it out, sorted within a bounded buffer.

The axes are the GoPro's own, of an order nobody documents, without a calibration: every take is in
the sensor's frame. What full scale was is not told either (it differs by model), so no sample is
ever said to be saturated. How far the stamps can be trusted is not known: about half the videos
are reported to be off by 0.5 to 1 s; the sync audit measures it.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv as arrow_csv

from pipelines.datasets.base import ImuRecording
from pipelines.imu.plausible import find_plausible
from schemas.errors import TakeError
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval

__all__ = [
    "EGO4D_STREAM",
    "MAX_STEP_BACK_NS",
    "OUTSIDE_NS",
    "open_ego4d_imu",
    "read_ego4d_span",
]

EGO4D_STREAM: Final = "csv"
"""Label of the only IMU an Ego4D video has."""

MAX_STEP_BACK_NS: Final = 300 * NS_PER_S
"""Rows may stand this far behind the latest stamp before them: the buffer they are sorted in holds
60,000 rows of 200 Hz, 3.4 MB."""

OUTSIDE_NS: Final = 10 * NS_PER_S
"""Stamps further than this before or after the video are absurd, and left out."""

_STAMP: Final = "canonical_timestamp_ms"
_GYRO: Final = ("gyro_x", "gyro_y", "gyro_z")
_ACCEL: Final = ("accl_x", "accl_y", "accl_z")
_COLUMNS: Final = (_STAMP, *_ACCEL, *_GYRO)
_BLOCK_BYTES: Final = 1 << 20
Rows = npt.NDArray[np.float64]


def open_ego4d_imu(path: Path, *, duration_ns: int) -> ImuRecording:
    """Open a video's accelerometer and gyroscope as a stream of runs.

    Rows out of order are put in order; of rows with one stamp the first is kept; a sensor whose
    cells are empty or no plausible number has no sample in that row.

    Args:
        path: CSV file.
        duration_ns: of the canonical video.

    Returns:
        Runs in the sensor's frame, in m/s2 and rad/s; ``info`` counts rows and what was left out:
        ``rows``, ``rows_outside_video`` (no canonical stamp), ``rows_absurd`` (beyond
        ``OUTSIDE_NS``), ``rows_backward`` (sorted), ``rows_repeated`` (of equal stamps),
        ``accel_invalid``, ``gyro_invalid``, and ``accel_y_equals_z``, 1 where the two columns are
        the same throughout: one is then a copy, and the acceleration is not to be trusted.

    Raises:
        TakeError: ``imu_unreadable`` if the file is no such CSV; ``accel_missing``,
            ``gyro_missing`` if a sensor has no column or not one sample; ``imu_missing`` if no row
            lies within the video; ``imu_not_monotonic`` if a row stands further back than
            ``MAX_STEP_BACK_NS``.
    """
    _check_header(path)
    survey = _survey(path, duration_ns=duration_ns)
    return ImuRecording(
        runs=_read_runs(path, duration_ns=duration_ns),
        frame="sensor",
        stream=EGO4D_STREAM,
        info=survey.info(),
    )


def read_ego4d_span(path: Path, *, duration_ns: int) -> Interval:
    """Return the stretch in which both sensors have samples, its last one included.

    Raises:
        TakeError: as ``open_ego4d_imu``; ``imu_missing`` if the sensors never run together.
    """
    _check_header(path)
    found = _survey(path, duration_ns=duration_ns)
    start_ns = max(found.accel.first_ns, found.gyro.first_ns)
    end_ns = min(found.accel.last_ns, found.gyro.last_ns) + 1
    if end_ns <= start_ns:
        raise TakeError("imu_missing", f"both sensors must run at one time, got none [{path}]")
    return Interval(start_ns, end_ns)


@dataclass(slots=True)
class _Sensor:
    """Samples of one sensor, and the stamps of the first and the last of them."""

    samples: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def add(self, t_ns: npt.NDArray[np.int64]) -> None:
        if len(t_ns):
            self.first_ns = self.first_ns if self.samples else int(t_ns[0])
            self.last_ns = int(t_ns[-1])
            self.samples += len(t_ns)


@dataclass(slots=True)
class _Survey:
    """What one pass over the file has counted so far."""

    rows: int = 0
    outside: int = 0
    absurd: int = 0
    backward: int = 0
    repeated: int = 0
    kept: int = 0
    y_is_not_z: int = 0
    latest_ns: int = -(2**62)
    accel: _Sensor = field(default_factory=_Sensor)
    gyro: _Sensor = field(default_factory=_Sensor)

    def info(self) -> dict[str, str | int | float]:
        """Return the counts under their public names."""
        return {
            "rows": self.rows,
            "rows_outside_video": self.outside,
            "rows_absurd": self.absurd,
            "rows_backward": self.backward,
            "rows_repeated": self.repeated,
            "accel_invalid": self.kept - self.accel.samples,
            "gyro_invalid": self.kept - self.gyro.samples,
            "accel_y_equals_z": int(self.y_is_not_z == 0),
        }


def _check_header(path: Path) -> None:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error
    for columns, code in ((_ACCEL, "accel_missing"), (_GYRO, "gyro_missing")):
        lacking = [name for name in columns if name not in names]
        if lacking and _STAMP in names:
            raise TakeError(code, f"IMU must have columns {', '.join(lacking)} [{path}]")
    if _STAMP not in names:
        raise TakeError(
            "imu_unreadable", f"IMU must have a column {_STAMP}, got {names[:9]} [{path}]"
        )


def _read_blocks(path: Path) -> Iterator[Rows]:
    """Yield (n, 7) blocks of ``_COLUMNS``, NaN where a cell is empty."""
    try:
        with arrow_csv.open_csv(
            path,
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(_COLUMNS),
                column_types=dict.fromkeys(_COLUMNS, pa.float64()),
            ),
        ) as reader:
            for batch in reader:
                cells = [batch.column(name).to_numpy(zero_copy_only=False) for name in _COLUMNS]
                yield np.stack(cells, axis=1)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise _unreadable(path, error) from error


def _usable(rows: Rows, *, duration_ns: int, survey: _Survey) -> tuple[npt.NDArray[np.int64], Rows]:
    """Return the stamps (n,) in ns and the values (n, 6) of rows that belong to the video."""
    t_ms = rows[:, 0]
    empty = np.isnan(t_ms)
    first_ms, last_ms = -OUTSIDE_NS / NS_PER_MS, (duration_ns + OUTSIDE_NS) / NS_PER_MS
    kept = (t_ms >= first_ms) & (t_ms <= last_ms)
    survey.rows += len(rows)
    survey.outside += int(empty.sum())
    survey.absurd += int((~kept & ~empty).sum())
    t_ns = np.rint(t_ms[kept] * NS_PER_MS).astype(np.int64)
    return t_ns, rows[kept, 1:]


def _survey(path: Path, *, duration_ns: int) -> _Survey:
    found = _Survey()
    for t_ns, values in _sorted_blocks(path, duration_ns=duration_ns, survey=found):
        accel, gyro = find_plausible(values[:, :3]), find_plausible(values[:, 3:])
        found.kept += len(t_ns)
        found.accel.add(t_ns[accel])
        found.gyro.add(t_ns[gyro])
        found.y_is_not_z += int((values[accel, 1] != values[accel, 2]).sum())
    if not found.kept:
        raise TakeError(
            "imu_missing",
            f"IMU must have rows within the video, got none of {found.rows} [{path}]",
        )
    for sensor, code, name in (
        (found.accel, "accel_missing", "accelerometer"),
        (found.gyro, "gyro_missing", "gyroscope"),
    ):
        if not sensor.samples:
            raise TakeError(code, f"IMU must have samples of the {name}, got none [{path}]")
    return found


def _sorted_blocks(
    path: Path, *, duration_ns: int, survey: _Survey
) -> Iterator[tuple[npt.NDArray[np.int64], Rows]]:
    """Yield stamps, strictly increasing throughout, and values of the usable rows.

    Rows are held until no later row can come before them.
    """
    held_ns, held = np.zeros(0, np.int64), np.zeros((0, 6))
    for block in _read_blocks(path):
        t_ns, values = _usable(block, duration_ns=duration_ns, survey=survey)
        if not len(t_ns):
            continue
        latest_ns = np.maximum.accumulate(np.concatenate([[survey.latest_ns], t_ns]))
        back_ns = latest_ns[:-1] - t_ns
        survey.backward += int((back_ns > 0).sum())
        if int(back_ns.max()) > MAX_STEP_BACK_NS:
            at = int(back_ns.argmax())
            raise TakeError(
                "imu_not_monotonic",
                f"IMU stamps may step back by {MAX_STEP_BACK_NS // NS_PER_S} s at most, got "
                f"{back_ns[at] / NS_PER_S:.1f} s at {t_ns[at] / NS_PER_S:.3f} s [{path}]",
            )
        survey.latest_ns = int(latest_ns[-1])
        held_ns, held = np.concatenate([held_ns, t_ns]), np.concatenate([held, values])
        if int(back_ns.max()) > 0:
            # The first of equal stamps is the one that came first.
            order = np.argsort(held_ns, kind="stable")
            held_ns, held = held_ns[order], held[order]
        done = int(np.searchsorted(held_ns, survey.latest_ns - MAX_STEP_BACK_NS, side="left"))
        yield _without_repeats(held_ns[:done], held[:done], survey=survey)
        held_ns, held = held_ns[done:], held[done:]
    yield _without_repeats(held_ns, held, survey=survey)


def _without_repeats(
    t_ns: npt.NDArray[np.int64], values: Rows, *, survey: _Survey
) -> tuple[npt.NDArray[np.int64], Rows]:
    first = np.ones(len(t_ns), np.bool_)
    first[1:] = np.diff(t_ns) > 0
    survey.repeated += int((~first).sum())
    return t_ns[first], values[first]


def _read_runs(path: Path, *, duration_ns: int) -> Iterator[ImuSamples]:
    for t_ns, values in _sorted_blocks(path, duration_ns=duration_ns, survey=_Survey()):
        accel, gyro = find_plausible(values[:, :3]), find_plausible(values[:, 3:])
        yield ImuSamples(
            accel=TriadSamples(t_ns=t_ns[accel], values=values[accel, :3]),
            gyro=TriadSamples(t_ns=t_ns[gyro], values=values[gyro, 3:]),
            invalid_ns=np.sort(np.concatenate([t_ns[~accel], t_ns[~gyro]])),
        )


def _unreadable(path: Path, error: Exception) -> TakeError:
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return TakeError("imu_unreadable", f"IMU must be a readable CSV file, got {said} [{path}]")
