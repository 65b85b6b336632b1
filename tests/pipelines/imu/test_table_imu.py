from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from pipelines.align.clock import TakeClock
from pipelines.imu import table_imu
from pipelines.imu.table_imu import TABLE_COLUMNS, read_table_ends, read_table_runs
from schemas.errors import TakeError
from schemas.time import NS_PER_MS, NS_PER_S, Interval

CLOCK = TakeClock.identity(Interval(0, 100 * NS_PER_S))


def columns(rows: int, **overrides: Any) -> dict[str, Any]:
    t = np.arange(rows)
    made: dict[str, Any] = {"t_ns": t * 5 * NS_PER_MS}
    made |= {"accel_x": 9.8 + 0 * t, "accel_y": 0.1 * np.sin(t), "accel_z": 0.1 * np.cos(t)}
    made |= {"gyro_x": 0.5 * np.sin(t), "gyro_y": 0.1 * t / rows, "gyro_z": -0.2 + 0 * t}
    return {**made, **overrides}


def write(path: Path, made: dict[str, Any], *, group: int = 1000) -> Path:
    table = pa.table(made)
    if path.suffix == ".csv":
        pacsv.write_csv(table, path)
    else:
        pq.write_table(table, path, row_group_size=group)
    return path


def joined(path: Path, clock: TakeClock = CLOCK) -> dict[str, npt.NDArray[Any]]:
    runs = list(read_table_runs(path, clock=clock))
    return {
        "accel_t": np.concatenate([run.accel.t_ns for run in runs]),
        "accel": np.concatenate([run.accel.values for run in runs]),
        "gyro_t": np.concatenate([run.gyro.t_ns for run in runs]),
        "gyro": np.concatenate([run.gyro.values for run in runs]),
        "invalid": np.concatenate([run.invalid_ns for run in runs]),
    }


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_table_comes_back_whole_in_blocks(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_imu, "_ROWS", 700)
    monkeypatch.setattr(table_imu, "_CSV_BYTES", 40_000)
    made = columns(2500, note=["x"] * 2500)
    path = write(tmp_path / f"imu{suffix}", made)
    assert len(list(read_table_runs(path, clock=CLOCK))) >= 4
    found = joined(path)
    np.testing.assert_array_equal(found["accel_t"], made["t_ns"])
    np.testing.assert_array_equal(found["gyro_t"], made["t_ns"])
    for name, first in (("accel", "accel_x"), ("gyro", "gyro_x")):
        expected = np.stack([made[first.replace("_x", f"_{a}")] for a in "xyz"], axis=1)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12)
    assert len(found["invalid"]) == 0
    assert read_table_ends(path) == (0, 2499 * 5 * NS_PER_MS)


def test_stamps_go_through_the_take_clock(tmp_path: Path) -> None:
    epoch = 1_700_000_000 * NS_PER_S
    made = columns(10)
    path = write(tmp_path / "imu.csv", {**made, "t_ns": made["t_ns"] + epoch})
    take_ns = np.array([0, 10 * NS_PER_S], np.int64)
    clock = TakeClock(device_ns=take_ns + epoch, take_ns=take_ns, span=Interval(0, 10 * NS_PER_S))
    np.testing.assert_array_equal(joined(path, clock)["accel_t"], made["t_ns"])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_no_sample_and_a_broken_one_are_told_apart(tmp_path: Path, suffix: str) -> None:
    def with_holes(empty: set[int], broken: set[int]) -> pa.Array:
        cells = [None if i in empty else np.nan if i in broken else 9.0 for i in range(6)]
        return pa.array(cells, pa.float64())

    made = columns(
        6,
        accel_x=with_holes({0, 3}, {1}),
        accel_y=with_holes({0}, set()),
        accel_z=with_holes({0}, set()),
        gyro_z=pa.array([0.0, 0.0, 0.0, np.inf, 0.0, 0.0]),
    )
    found = joined(write(tmp_path / f"imu{suffix}", made))
    step = 5 * NS_PER_MS
    # Row 0 has no accelerometer sample; rows 1 (NaN) and 3 (one empty cell) have broken ones.
    assert (found["accel_t"] // step).tolist() == [2, 4, 5]
    assert (found["gyro_t"] // step).tolist() == [0, 1, 2, 4, 5]
    assert (found["invalid"] // step).tolist() == [1, 3, 3]


@pytest.mark.parametrize("back_ns", [0, 50 * NS_PER_MS])
def test_a_stamp_that_does_not_grow_is_refused(
    tmp_path: Path, back_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_imu, "_ROWS", 20)
    made = columns(60)
    # Row 40 is the first of a block: the step across blocks counts too.
    made["t_ns"][40:] -= 5 * NS_PER_MS + back_ns
    path = write(tmp_path / "imu.parquet", made)
    with pytest.raises(TakeError, match=f"must grow from row to row, got {195_000_000 - back_ns}"):
        joined(path)


@pytest.mark.parametrize(
    ("factor", "match"),
    [
        pytest.param(1 / 9.80665, "seems to be in g: multiply by 9.80665", id="g"),
        pytest.param(1000 / 9.80665, "seems to be in mg", id="mg"),
        pytest.param(0.01, "gravity seems to have been taken out", id="linear"),
        pytest.param(16384 / 9.8, "raw count", id="counts"),
    ],
)
def test_acceleration_in_other_units_is_named(tmp_path: Path, factor: float, match: str) -> None:
    made = columns(100)
    for axis in "xyz":
        made[f"accel_{axis}"] = made[f"accel_{axis}"] * factor
    with pytest.raises(TakeError, match=match) as caught:
        joined(write(tmp_path / "imu.csv", made))
    assert caught.value.code == "imu_units_implausible"


def test_turns_in_degrees_are_named(tmp_path: Path) -> None:
    made = columns(100, gyro_x=np.full(100, 1.2 * 180 / np.pi))
    with pytest.raises(TakeError, match=r"imu_units_implausible: gyro .* pi/180"):
        joined(write(tmp_path / "imu.csv", made))
    # The fastest that chips tell passes.
    joined(write(tmp_path / "fast.csv", columns(100, gyro_x=np.full(100, 35.0))))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        pytest.param({"gyro_y": None}, "got none named gyro_y", id="no_column"),
        pytest.param({"accel_x": ["a"] * 5}, "must hold numbers", id="no_number"),
        pytest.param({"t_ns": [0.5, 1.5, 2.5, 3.5, 4.5]}, "imu_file_malformed", id="float_stamps"),
        pytest.param({"t_ns": [1, 2, None, 4, 5]}, "t_ns must be in every row", id="no_stamp"),
        pytest.param({"t_ns": [1, 2, 3, 4, 2**62 + 1]}, "within 2\\^62 of zero", id="far_stamp"),
    ],
)
def test_malformed_tables_are_refused(
    tmp_path: Path, suffix: str, overrides: dict[str, Any], match: str
) -> None:
    made = columns(5, **overrides)
    path = write(tmp_path / f"imu{suffix}", {k: v for k, v in made.items() if v is not None})
    with pytest.raises(TakeError, match=match) as caught:
        joined(path)
    assert caught.value.code == "imu_file_malformed"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_empty_and_unreadable_tables_are_refused(tmp_path: Path, suffix: str) -> None:
    empty = pa.table({name: pa.array([], pa.int64()) for name in TABLE_COLUMNS})
    path = tmp_path / f"imu{suffix}"
    if suffix == ".csv":
        path.write_text(",".join(TABLE_COLUMNS) + "\n")
    else:
        pq.write_table(empty, path)
    assert list(read_table_runs(path, clock=CLOCK)) == []
    with pytest.raises(TakeError, match="imu_missing: IMU table must hold rows"):
        read_table_ends(path)
    path.write_bytes(b"\xff\x00rubbish")
    with pytest.raises(TakeError, match="imu_file_malformed"):
        list(read_table_runs(path, clock=CLOCK))
    with pytest.raises(TakeError, match="imu_file_unreadable"):
        list(read_table_runs(tmp_path / f"none{suffix}", clock=CLOCK))


def test_one_row_is_enough(tmp_path: Path) -> None:
    path = write(tmp_path / "imu.parquet", columns(1))
    assert read_table_ends(path) == (0, 0)
    assert joined(path)["accel_t"].tolist() == [0]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_ends_that_no_recording_has_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"imu{suffix}"
    with pytest.raises(TakeError, match=r"imu_not_monotonic: t_ns .* got 9 in the first and 5 in"):
        read_table_ends(write(path, columns(3, t_ns=[9, 10, 5])))
    with pytest.raises(TakeError, match=r"imu_file_malformed: t_ns .* within 2678400 s"):
        read_table_ends(write(path, columns(3, t_ns=[0, 1, 2_678_400 * 10**9 + 1])))


def test_a_row_group_without_the_rows_it_claims_is_refused(tmp_path: Path) -> None:
    table = pa.table(columns(5))
    path = tmp_path / "imu.parquet"
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table.slice(0, 0))
        writer.write_table(table)
    data = path.read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")

    def claimed(changed: bytes) -> int:
        try:
            return int(pq.read_metadata(pa.BufferReader(changed)).row_group(0).num_rows)
        except (OSError, pa.ArrowException):
            return 0

    # The one byte that counts the rows of the first group; 10 is 5 in Thrift's zigzag.
    lies = (data[:at] + b"\x0a" + data[at + 1 :] for at in range(footer, len(data) - 8))
    path.write_bytes(next(lie for lie in lies if claimed(lie) == 5))
    with pytest.raises(
        TakeError, match=r"row group 0 must hold the rows it claims, got none \[imu"
    ):
        read_table_ends(path)


def test_types_and_columns_without_a_meaning_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "imu.parquet"
    lists = write(path, columns(2, accel_x=[[1.0], [2.0]]))
    with pytest.raises(TakeError, match="imu_file_malformed: IMU table must hold numbers"):
        joined(lists)
    table = pa.table(columns(2))
    pq.write_table(table.append_column("gyro_x", table["gyro_x"]), path)
    with pytest.raises(TakeError, match=r"imu_file_malformed: .* got gyro_x twice"):
        joined(path)


def test_a_value_beyond_any_sensor_is_an_invalid_sample(tmp_path: Path) -> None:
    made = columns(5)
    made["gyro_x"] = [0.0, 0.0, 1e300, 0.0, 0.0]
    path = write(tmp_path / "imu.csv", made)
    runs = list(read_table_runs(path, clock=CLOCK))
    assert [len(run.gyro) for run in runs] == [4]
    assert [len(run.accel) for run in runs] == [5]
    assert [len(run.invalid_ns) for run in runs] == [1]
