from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from pipelines.config import ImuConfig
from pipelines.datasets.base import ImuRecording
from pipelines.parts.imu import write_imu_part
from pipelines.parts.store import PartStore
from pipelines.stores.cut_imu import ImuGrid, read_imu_grid
from pipelines.stores.imu_quality import (
    STILL_ACCEL_M_S2,
    STILL_GYRO_RAD_S,
    measure_imu_quality,
)
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval

STEP_NS = 20 * NS_PER_MS
KEY = "ab" * 32


def record(
    root: Path,
    t_ns: npt.NDArray[np.int64],
    *,
    seconds: int,
    invalid: Sequence[int] = (),
    saturated: Sequence[int] = (),
) -> ImuGrid:
    """The grid of a recording at rest with these stamps, in runs of a thousand samples."""

    def until(marks: npt.NDArray[np.int64], low: int) -> npt.NDArray[np.int64]:
        last = t_ns[low + 1000] if low + 1000 < len(t_ns) else np.iinfo(np.int64).max
        first = t_ns[low] if low else np.iinfo(np.int64).min
        return marks[(marks >= first) & (marks < last)]

    marked = [np.array(marks, np.int64) for marks in (invalid, saturated)]
    runs = []
    for low in range(0, len(t_ns), 1000):
        stamps = t_ns[low : low + 1000]
        triad = TriadSamples(t_ns=stamps, values=np.zeros((len(stamps), 3)))
        runs.append(
            ImuSamples(
                accel=triad,
                gyro=triad,
                invalid_ns=until(marked[0], low),
                saturated_ns=until(marked[1], low),
            )
        )
    parts = PartStore(root)
    write_imu_part(
        parts,
        KEY,
        recording=ImuRecording(runs=iter(runs), frame="device", stream="imu-right"),
        span=Interval(0, seconds * NS_PER_S),
        config=ImuConfig(block_s=1),
    )
    return read_imu_grid(parts, key=KEY, step_ns=STEP_NS)


def moving(values: npt.NDArray[np.float64]) -> ImuGrid:
    """A grid of these values (6, n), all valid, with 20 samples of 1 ms a point."""
    n = values.shape[1]
    return ImuGrid(
        first_ns=0,
        step_ns=STEP_NS,
        values=values.astype(np.float32),
        gap_ns=np.full(n, NS_PER_MS),
        valid=np.ones(n, np.bool_),
        counts={
            "samples": np.full(n, 20),
            "invalid_samples": np.zeros(n, np.int64),
            "saturated_samples": np.zeros(n, np.int64),
            "intervals": np.full(n, 20),
            "interval_sum_ns": np.full(n, 20 * NS_PER_MS),
            "interval_sum_us2": np.full(n, 20e6),
        },
        stream=None,
        frame=None,
    )


def measure(grid: ImuGrid | None, first: Sequence[int], **changes: Any) -> pl.DataFrame:
    given: dict[str, Any] = {
        "samples": 250,
        "has_imu": np.ones(len(first), np.bool_),
        **changes,
    }
    return measure_imu_quality(grid, first=np.array(first, np.int64), **given)


def test_jitter_is_the_standard_deviation_of_raw_stamps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    t_ns = np.cumsum(rng.integers(700_000, 1_300_000, size=14_000)) - NS_PER_S
    t_ns = t_ns[(t_ns < 6 * NS_PER_S) | (t_ns > 6_250_000_000)]  # a gap longer than 100 ms
    grid = record(tmp_path, t_ns, seconds=12)
    first = [0, 1, 130, 300, 349, 350]
    found = measure(grid, first)["imu_jitter_ns"].to_list()
    between = np.diff(t_ns)
    for i, jitter in zip(first, found, strict=True):
        ends = t_ns[1:]
        here = (ends >= i * STEP_NS) & (ends < (i + 250) * STEP_NS) & (between <= 100 * NS_PER_MS)
        assert jitter == pytest.approx(np.std(between[here]), abs=1)
    assert found[0] > 150_000


def test_even_stamps_have_no_jitter(tmp_path: Path) -> None:
    grid = record(tmp_path, np.arange(0, 6 * NS_PER_S, 2_500_000), seconds=6)
    assert measure(grid, [0, 20])["imu_jitter_ns"].to_list() == [0, 0]


def test_shares_of_marked_samples_by_slow_loop(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    t_ns = np.arange(0, 12 * NS_PER_S, 5 * NS_PER_MS)
    invalid = np.sort(rng.integers(0, 12 * NS_PER_S, size=300))
    saturated = np.sort(rng.choice(t_ns, size=200))
    grid = record(
        tmp_path, t_ns, seconds=12, invalid=invalid.tolist(), saturated=saturated.tolist()
    )
    first = [0, 77, 77, 350]
    found = measure(grid, first)
    for i, row in zip(first, found.iter_rows(named=True), strict=True):
        low, high = i * STEP_NS, (i + 250) * STEP_NS
        kept = 2 * sum(low <= t < high for t in t_ns.tolist())
        out = sum(low <= t < high for t in invalid.tolist())
        full = sum(low <= t < high for t in saturated.tolist())
        assert row["imu_invalid_share"] == out / (kept + out) > 0
        assert row["imu_saturated_share"] == full / kept > 0
        assert row["imu_coverage"] == 1


def test_coverage_is_told_without_imu_and_the_rest_is_not(tmp_path: Path) -> None:
    t_ns = np.arange(2 * NS_PER_S, 8 * NS_PER_S + 1, 5 * NS_PER_MS)
    grid = record(tmp_path, t_ns, seconds=10)
    has_imu = np.array([False, True, False, False, False])
    found = measure(grid, [-250, 100, 0, 300, 400], has_imu=has_imu)
    assert found["imu_coverage"].to_list() == [0, 1, 150 / 250, 101 / 250, 1 / 250]
    others = found.drop("imu_coverage")
    assert others.null_count().row(0) == (4,) * 5
    assert others.row(1) == (0, 0, 0, 0, 1)  # every grid point is a sample


def test_window_beyond_the_grid_is_judged_by_what_lies_on_it(tmp_path: Path) -> None:
    grid = record(tmp_path, np.arange(0, 6 * NS_PER_S, 5 * NS_PER_MS), seconds=6)
    found = measure(grid, [55, 50, 300])
    assert found["imu_coverage"].to_list() == [245 / 250, 1, 0]
    assert found["imu_still_share"].to_list() == [1, 1, None]
    assert found["imu_jitter_ns"].to_list() == [0, 0, None]


def test_take_without_part_is_told_nothing() -> None:
    found = measure(None, [0, 10], has_imu=np.zeros(2, np.bool_))
    assert found.height == 2
    assert found.null_count().row(0) == (2,) * 6


def test_no_window_has_no_row() -> None:
    assert measure(moving(np.zeros((6, 300))), []).height == 0


def test_still_half_seconds_are_counted_by_both_sensors() -> None:
    t_s = np.arange(250) / 50
    values = np.zeros((6, 250))
    values[2] = 9.81
    values[0, 25:50] = 3 * STILL_ACCEL_M_S2 * np.sin(20 * t_s[25:50])  # shakes
    values[3, 100:150] = 2 * STILL_GYRO_RAD_S  # turns steadily for two half seconds
    values[1, 200:225] = 0.3  # leans, without moving: still
    assert measure(moving(values), [0])["imu_still_share"].to_list() == [0.7]


@pytest.mark.parametrize(("factor", "share"), [(0.99, 1.0), (1.01, 0.0)])
def test_still_limits_are_on_the_root_of_all_axes(factor: float, share: float) -> None:
    # Equal parts of the limit on each of three axes, as +a, -a: standard deviation a.
    part = factor / np.sqrt(3)
    wave = np.where(np.arange(200) % 2, 1.0, -1.0)
    shaking = np.concatenate([np.tile(STILL_ACCEL_M_S2 * part * wave, (3, 1)), np.zeros((3, 200))])
    turning = np.concatenate([np.zeros((3, 200)), np.full((3, 200), STILL_GYRO_RAD_S * part)])
    for values in (shaking, turning):
        assert measure(moving(values), [0], samples=200)["imu_still_share"].to_list() == [share]


def test_window_shorter_than_half_a_second_is_one_block() -> None:
    values = np.zeros((6, 40))
    values[4, :5] = 1
    found = measure(moving(values), [0, 5], samples=10)
    assert found["imu_still_share"].to_list() == [0, 1]


def test_many_windows_equal_each_by_itself() -> None:
    rng = np.random.default_rng(2)
    grid = moving(rng.normal(scale=0.03, size=(6, 900)))
    first = rng.integers(0, 650, size=600).tolist()
    together = measure(grid, first)
    assert 0 < together["imu_still_share"].mean() < 1  # type: ignore[operator]
    for i in (0, 255, 256, 599):
        assert measure(grid, [first[i]]).row(0) == together.row(i)
