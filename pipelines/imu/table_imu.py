"""IMU samples from a plain table, Parquet or CSV: the contract for data of one's own.

Columns ``t_ns`` (whole numbers), ``accel_x``, ``accel_y``, ``accel_z`` in m/s2 with gravity and
``gyro_x``, ``gyro_y``, ``gyro_z`` in rad/s, rows in order of time. A row in which a sensor has
three empty cells holds no sample of that sensor, so that sensors of different rates share one
table; a cell that is NaN, larger than any sensor reads, or empty beside others that are not, makes
that sample invalid.

The table is read in blocks, twice: once for its ends, which for Parquet is its first and last rows,
and once for its samples. Units are checked by what they must amount to, since a factor of 9.8 or
57.3 spoils everything and breaks nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from pipelines.align.clock import TakeClock
from pipelines.imu.plausible import find_plausible
from schemas.errors import TakeError
from schemas.imu import IMU_CHANNELS, ImuSamples, TriadSamples
from schemas.time import NS_PER_S

__all__ = ["TABLE_COLUMNS", "read_table_ends", "read_table_runs"]

TABLE_COLUMNS: Final = ("t_ns", *IMU_CHANNELS)
_TYPES: Final = {name: pa.int64() if name == "t_ns" else pa.float64() for name in TABLE_COLUMNS}
_ROWS: Final = 65_536
_CSV_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 20
# Whoever wears it, half of the samples feel between half and twice of gravity.
_GRAVITY_M_S2: Final = (4.9, 19.7)
# Chips end at 2000 deg/s, which is 35 rad/s.
_FASTEST_RAD_S: Final = 50.0
# 146 years: differences still fit int64.
_LATEST_NS: Final = 1 << 62
# A take is a recording of hours; whatever lasts longer than a month has a broken stamp.
_LONGEST_NS: Final = 31 * 24 * 3600 * NS_PER_S


def read_table_ends(path: Path) -> tuple[int, int]:
    """Return the first and the last ``t_ns`` of a table.

    Raises:
        TakeError: ``imu_file_unreadable``, ``imu_file_malformed``, ``imu_not_monotonic`` if the
            last comes before the first, or ``imu_missing`` if it is empty.
    """
    first: int | None = None
    last = 0
    with _table_faults(path):
        if _is_parquet(path):
            with pq.ParquetFile(path) as file:
                _check_columns(file.schema_arrow.names, path=path)
                groups = [
                    i for i in range(file.num_row_groups) if file.metadata.row_group(i).num_rows
                ]
                for i in dict.fromkeys(groups[:1] + groups[-1:]):
                    stamps = _stamps(file.read_row_group(i, columns=["t_ns"])["t_ns"], path=path)
                    if not len(stamps):
                        raise TakeError(
                            "imu_file_malformed",
                            f"row group {i} must hold the rows it claims, got none [{path.name}]",
                        )
                    first = int(stamps[0]) if first is None else first
                    last = int(stamps[-1])
        else:
            for batch in _csv_batches(path, columns=("t_ns",)):
                stamps = _stamps(batch["t_ns"], path=path)
                if len(stamps):
                    first = int(stamps[0]) if first is None else first
                    last = int(stamps[-1])
    if first is None:
        raise TakeError("imu_missing", f"IMU table must hold rows, got none [{path}]")
    if last < first:
        raise TakeError(
            "imu_not_monotonic",
            f"t_ns must grow from row to row, got {first} in the first and {last} in the last "
            f"[{path}]",
        )
    if last - first > _LONGEST_NS:
        raise TakeError(
            "imu_file_malformed",
            f"t_ns must be nanoseconds within {_LONGEST_NS // NS_PER_S} s of one another, got "
            f"{first} to {last} [{path}]",
        )
    return first, last


def read_table_runs(path: Path, *, clock: TakeClock) -> Iterator[ImuSamples]:
    """Yield the samples of a table block by block, on the take clock.

    Args:
        path: ``.parquet`` or ``.csv`` file with ``TABLE_COLUMNS``; others are passed over.
        clock: of the take; its device clock is the table's.

    Raises:
        TakeError: ``imu_file_unreadable``; ``imu_file_malformed`` for a missing column or a cell
            that is no number; ``imu_not_monotonic`` if a stamp is not later than the one before;
            ``imu_units_implausible`` if the first block's median acceleration is far from gravity,
            or one turn in a hundred of a block is faster than any gyroscope tells.
    """
    before: int | None = None
    checked = False
    with _table_faults(path):
        for batch in _batches(path):
            t_ns = _stamps(batch["t_ns"], path=path)
            if not len(t_ns):
                continue
            _check_order(t_ns, before=before, path=path)
            before = int(t_ns[-1])
            take_ns = clock.to_take_ns(t_ns)
            accel, bad_accel = _triad(batch, IMU_CHANNELS[:3], t_ns=take_ns)
            gyro, bad_gyro = _triad(batch, IMU_CHANNELS[3:], t_ns=take_ns)
            if len(accel) and not checked:
                _check_gravity(accel.values, path=path)
                checked = True
            _check_turns(gyro.values, path=path)
            yield ImuSamples(
                accel=accel,
                gyro=gyro,
                invalid_ns=np.sort(np.concatenate([bad_accel, bad_gyro])),
            )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    if not _is_parquet(path):
        yield from _csv_batches(path, columns=TABLE_COLUMNS)
        return
    # Buffered ahead, a whole file of hours would lie in memory.
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES) as file:
        _check_columns(file.schema_arrow.names, path=path)
        yield from file.iter_batches(batch_size=_ROWS, columns=list(TABLE_COLUMNS))


def _csv_batches(path: Path, *, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    with path.open(encoding="utf-8-sig") as file:
        _check_columns([name.strip().strip('"') for name in file.readline().split(",")], path=path)
    with pacsv.open_csv(
        path,
        read_options=pacsv.ReadOptions(block_size=_CSV_BYTES, use_threads=False),
        convert_options=pacsv.ConvertOptions(
            include_columns=list(columns),
            column_types={name: _TYPES[name] for name in columns},
            # An empty cell is no sample; NaN is a broken one, and stays a number.
            null_values=[""],
        ),
    ) as reader:
        yield from reader


def _check_columns(names: list[str], *, path: Path) -> None:
    lacking = [name for name in TABLE_COLUMNS if name not in names]
    if lacking:
        raise TakeError(
            "imu_file_malformed",
            f"IMU table must have columns {', '.join(TABLE_COLUMNS)}, got none named "
            f"{', '.join(lacking)} [{path}]",
        )
    twice = [name for name in TABLE_COLUMNS if names.count(name) > 1]
    if twice:
        raise TakeError(
            "imu_file_malformed",
            f"IMU table must have each column once, got {', '.join(twice)} twice [{path}]",
        )


@contextmanager
def _table_faults(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        pa.ArrowInvalid,
        pa.ArrowKeyError,
        pa.ArrowTypeError,
        pa.ArrowNotImplementedError,
        UnicodeDecodeError,
    ) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise TakeError(
            "imu_file_malformed", f"IMU table must hold numbers, got: {said} [{path}]"
        ) from error
    except OSError as error:
        raise TakeError(
            "imu_file_unreadable", f"IMU table must be readable, got: {error} [{path}]"
        ) from error


def _stamps(column: pa.Array, *, path: Path) -> npt.NDArray[np.int64]:
    if not pa.types.is_integer(column.type):
        raise TakeError(
            "imu_file_malformed",
            f"t_ns must be whole nanoseconds (int64), got type {column.type} [{path}]",
        )
    if column.null_count:
        raise TakeError("imu_file_malformed", f"t_ns must be in every row, got a gap [{path}]")
    stamps: npt.NDArray[np.int64] = np.asarray(column.cast(pa.int64()), np.int64)
    if len(stamps) and (int(stamps.min()) < -_LATEST_NS or int(stamps.max()) > _LATEST_NS):
        raise TakeError(
            "imu_file_malformed",
            f"t_ns must lie within 2^62 of zero, got {stamps.min()} to {stamps.max()} [{path}]",
        )
    return stamps


def _check_order(t_ns: npt.NDArray[np.int64], *, before: int | None, path: Path) -> None:
    steps = np.diff(t_ns, prepend=t_ns[0] - 1 if before is None else before)
    if steps.min() > 0:
        return
    at = int(np.argmax(steps <= 0))
    raise TakeError(
        "imu_not_monotonic",
        f"t_ns must grow from row to row, got {t_ns[at]} after {t_ns[at] - steps[at]} [{path}]",
    )


def _triad(
    batch: pa.RecordBatch, names: tuple[str, ...], *, t_ns: npt.NDArray[np.int64]
) -> tuple[TriadSamples, npt.NDArray[np.int64]]:
    """Return one sensor's samples, and the stamps of those that are invalid."""
    columns = [batch[name].cast(pa.float64()) for name in names]
    empty = np.stack([np.asarray(column.is_null(), np.bool_) for column in columns], axis=1)
    values = np.stack(
        [np.asarray(column.fill_null(np.nan), np.float64) for column in columns], axis=1
    )
    plausible = find_plausible(values)
    invalid = ~plausible & ~empty.all(axis=1)
    return TriadSamples(t_ns=t_ns[plausible], values=values[plausible]), t_ns[invalid]


def _check_gravity(accel: npt.NDArray[np.float64], *, path: Path) -> None:
    median = float(np.median(np.linalg.norm(accel, axis=1)))
    low, high = _GRAVITY_M_S2
    if low <= median <= high:
        return
    if 0.5 <= median <= 2:
        hint = "the table seems to be in g: multiply by 9.80665"
    elif 490 <= median <= 1970:
        hint = "the table seems to be in mg or cm/s2"
    elif median < 0.5:
        hint = "gravity seems to have been taken out: give the raw acceleration"
    else:
        hint = "is it a sensor's raw count?"
    raise TakeError(
        "imu_units_implausible",
        f"accel must be in m/s2 with gravity, about 9.8 at rest, got a median length of "
        f"{median:.4g}; {hint} [{path}]",
    )


def _check_turns(gyro: npt.NDArray[np.float64], *, path: Path) -> None:
    if not len(gyro):
        return
    fast = float(np.quantile(np.linalg.norm(gyro, axis=1), 0.99))
    if fast > _FASTEST_RAD_S:
        raise TakeError(
            "imu_units_implausible",
            f"gyro must be in rad/s, got turns of {fast:.4g} and faster, where no gyroscope tells "
            f"more than 35; the table seems to be in deg/s: multiply by pi/180 [{path}]",
        )
