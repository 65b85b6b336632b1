from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.imu.sample_counts import COUNT_COLUMNS
from pipelines.parts.store import PartStore
from pipelines.stores.cut_imu import ImuGrid, cut_windows, read_imu_grid, read_imu_values
from schemas.errors import StoreDamagedError
from schemas.imu import IMU_CHANNELS, IMU_PART_SCHEMA
from schemas.time import Interval
from tests.factories import imu_table


def write(root: Path, table: pa.Table, *, rows: int = 7) -> PartStore:
    parts = PartStore(root)
    parts.write(
        "imu",
        "ab" * 32,
        schema=table.schema,
        batches=table.to_batches(max_chunksize=rows),
        metadata={"imu_stream": "imu-left", "imu_frame": "device"},
    )
    return parts


def read(parts: PartStore, step_ns: int = 10) -> ImuGrid:
    return read_imu_grid(parts, key="ab" * 32, step_ns=step_ns)


def test_windows_are_exact_slices_of_the_part(tmp_path: Path) -> None:
    table = imu_table(Interval(30, 530), step_ns=10, rng=np.random.default_rng(0))
    grid = read(write(tmp_path, table))
    starts = np.array([30, 200, 200, 430])
    first = grid.find_first(starts)
    windows = grid.cut(first, samples=10)
    assert windows.shape == (4, 6, 10)
    assert windows.dtype == np.float32
    for window, start in zip(windows, starts.tolist(), strict=True):
        rows = [i for i, t in enumerate(table["t_ns"].to_pylist()) if start <= t < start + 100]
        for c, name in enumerate(IMU_CHANNELS):
            assert window[c].tolist() == [table[name][i].as_py() for i in rows]
    gaps = table["gap_ns"].to_pylist()
    assert grid.longest_gap_ns(first, samples=10).tolist() == [
        max(gaps[i : i + 10]) for i in first.tolist()
    ]
    assert grid.t_ns.tolist() == table["t_ns"].to_pylist()
    assert {name: counts.tolist() for name, counts in grid.counts.items()} == {
        name: table[name].to_pylist() for name in COUNT_COLUMNS
    }
    assert (grid.stream, grid.frame) == ("imu-left", "device")


def test_values_alone_are_those_of_the_grid(tmp_path: Path) -> None:
    table = imu_table(Interval(30, 530), step_ns=10, rng=np.random.default_rng(0))
    parts = write(tmp_path, table)
    first_ns, values = read_imu_values(parts, key="ab" * 32)
    assert first_ns == 30
    np.testing.assert_array_equal(values, read(parts).values)
    first = np.array([0, 17, 40])
    np.testing.assert_array_equal(
        cut_windows(values, first, samples=10), read(parts).cut(first, samples=10)
    )
    with pytest.raises(StoreDamagedError, match="must hold grid points, got none"):
        read_imu_values(write(tmp_path / "b", IMU_PART_SCHEMA.empty_table()), key="ab" * 32)


def test_no_window_of_a_take_shorter_than_one(tmp_path: Path) -> None:
    table = imu_table(Interval(0, 20), step_ns=10, rng=np.random.default_rng(0))
    grid = read(write(tmp_path, table))
    none = np.zeros(0, np.int64)
    assert grid.cut(none, samples=5).shape == (0, 6, 5)
    assert grid.longest_gap_ns(none, samples=5).shape == (0,)


def test_start_between_grid_points_is_refused(tmp_path: Path) -> None:
    table = imu_table(Interval(0, 100), step_ns=10, rng=np.random.default_rng(0))
    grid = read(write(tmp_path, table))
    assert grid.find_first(np.array([-20, 50])).tolist() == [-2, 5]
    with pytest.raises(ValueError, match="on the imu grid of 10 ns"):
        grid.find_first(np.array([5]))


def test_part_of_another_step_is_damage(tmp_path: Path) -> None:
    table = imu_table(Interval(0, 100), step_ns=10, rng=np.random.default_rng(0))
    with pytest.raises(StoreDamagedError, match="must step by 20 ns"):
        read(write(tmp_path, table), step_ns=20)


def test_a_batch_without_rows_changes_nothing(tmp_path: Path) -> None:
    table = imu_table(Interval(30, 530), step_ns=10, rng=np.random.default_rng(0))
    first, second = table.slice(0, 20).to_batches(), table.slice(20).to_batches()
    parts = PartStore(tmp_path / "gaps")
    nothing = pa.RecordBatch.from_pylist([], schema=table.schema)
    batches = [nothing, *first, nothing, *second]
    parts.write("imu", "ab" * 32, schema=table.schema, batches=batches, metadata={})
    found, wanted = read(parts), read(write(tmp_path / "plain", table))
    assert found.first_ns == wanted.first_ns == 30
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.gap_ns, wanted.gap_ns)


def test_empty_part_is_damage(tmp_path: Path) -> None:
    with pytest.raises(StoreDamagedError, match="must hold grid points, got none"):
        read(write(tmp_path, IMU_PART_SCHEMA.empty_table()))
