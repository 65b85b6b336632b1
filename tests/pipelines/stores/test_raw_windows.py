"""Windows of a raw imu part: each as if resampled alone, whatever the runs and the order."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from pipelines.datasets.base import ImuRecording
from pipelines.imu.window_resample import resample_window
from pipelines.parts.raw_imu import write_raw_imu_part
from pipelines.parts.store import PartStore
from pipelines.stores.cut_imu import ImuGrid
from pipelines.stores.raw_windows import RawImu, resample_raw_windows
from schemas.errors import StoreDamagedError
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval
from tests.factories import imu_table

SPAN = Interval(0, 40 * NS_PER_S)
STEP_NS = 100 * NS_PER_MS
SAMPLES = 50
KEY = "cd" * 32


def make_grid() -> ImuGrid:
    table = imu_table(SPAN, step_ns=STEP_NS, rng=np.random.default_rng(0))
    count = table.num_rows
    return ImuGrid(
        first_ns=0,
        step_ns=STEP_NS,
        values=np.zeros((6, count), np.float32),
        gap_ns=np.zeros(count, np.int64),
        valid=np.ones(count, np.bool_),
        stream="imu-right",
        frame="device",
        counts={name: table[name].to_numpy() for name in table.schema.names[9:]},
    )


def record(t_ns: npt.NDArray[np.int64]) -> ImuSamples:
    rng = np.random.default_rng(3)
    accel, gyro = (rng.normal(size=(len(t_ns), 3)).astype(np.float32) for _ in range(2))
    return ImuSamples(
        accel=TriadSamples(t_ns=t_ns, values=accel.astype(np.float64)),
        gyro=TriadSamples(t_ns=t_ns, values=gyro.astype(np.float64)),
    )


def cut_runs(whole: ImuSamples, *, run_s: float) -> Iterator[ImuSamples]:
    edges = np.arange(-1, 42 / run_s + 1) * run_s * NS_PER_S
    for low, high in pairwise(edges):
        a, b = np.searchsorted(whole.accel.t_ns, [low, high])
        yield ImuSamples(
            accel=TriadSamples(t_ns=whole.accel.t_ns[a:b], values=whole.accel.values[a:b]),
            gyro=TriadSamples(t_ns=whole.gyro.t_ns[a:b], values=whole.gyro.values[a:b]),
        )


def batches(parts: PartStore, whole: ImuSamples, *, run_s: float) -> Iterator[pa.RecordBatch]:
    recording = ImuRecording(runs=cut_runs(whole, run_s=run_s), frame="device", stream="imu-right")
    write_raw_imu_part(parts, KEY, recording=recording, span=SPAN)
    return parts.read("raw_imu", KEY)


def even(*, until_s: float = 41.0, hz: float = 103.3) -> npt.NDArray[np.int64]:
    return np.rint(np.arange(0, until_s * hz) * NS_PER_S / hz).astype(np.int64)


def resampled(tmp_path: Path, whole: ImuSamples, first: list[int], *, run_s: float) -> RawImu:
    return resample_raw_windows(
        batches(PartStore(tmp_path), whole, run_s=run_s),
        grid=make_grid(),
        first=np.array(first, np.int64),
        samples=SAMPLES,
    )


@pytest.mark.parametrize("run_s", [0.7, 3.0, 60.0])
def test_each_window_is_resampled_from_its_own_samples(tmp_path: Path, run_s: float) -> None:
    whole = record(even())
    first = [350, 0, 17, 17, 200, 40]
    raw = resampled(tmp_path, whole, first, run_s=run_s)
    assert raw.starts.tolist() == [0, 17, 40, 200, 350]
    windows = raw.cut(np.array(first), samples=SAMPLES)
    assert windows.shape == (6, 6, SAMPLES)
    for start, window in zip(first, windows, strict=True):
        alone = resample_window(
            whole.accel,
            whole.gyro,
            window=Interval(start * STEP_NS, (start + SAMPLES) * STEP_NS),
            samples=SAMPLES,
            rate_hz=10,
        )
        np.testing.assert_array_equal(window, alone.values)
        assert window.any()
    assert raw.faults[raw.find(np.array(first))].tolist() == [""] * 6
    assert not raw.padded.any()


def test_a_recording_that_ends_early_pads_one_window_and_lacks_the_next(tmp_path: Path) -> None:
    whole = record(even(until_s=34.96, hz=100))
    raw = resampled(tmp_path, whole, [250, 300, 350], run_s=5.0)
    assert raw.faults.tolist() == ["", "", "imu_missing"]
    assert raw.padded.tolist() == [0, 10, 0]
    assert (raw.values[1][:, 40:] == 0).all()
    assert not raw.values[2].any()


@pytest.mark.parametrize("first", [-1, 351])
def test_a_window_beyond_the_grid_is_missing(tmp_path: Path, first: int) -> None:
    raw = resampled(tmp_path, record(even()), [first, 100], run_s=5.0)
    assert raw.faults[raw.find(np.array([first, 100]))].tolist() == ["imu_missing", ""]


def test_a_sensor_that_stops_holds_nothing_up(tmp_path: Path) -> None:
    whole = record(even())
    stops = int(np.searchsorted(whole.gyro.t_ns, 12 * NS_PER_S))
    gyro = TriadSamples(t_ns=whole.gyro.t_ns[:stops], values=whole.gyro.values[:stops])
    raw = resampled(tmp_path, ImuSamples(accel=whole.accel, gyro=gyro), [0, 100, 300], run_s=2.0)
    assert raw.faults.tolist() == ["", "imu_missing", "imu_missing"]


def test_no_window_and_no_sample(tmp_path: Path) -> None:
    raw = resampled(tmp_path, record(even(until_s=0.0)), [5], run_s=5.0)
    assert raw.faults.tolist() == ["imu_missing"]
    assert raw.cut(np.zeros(0, np.int64), samples=SAMPLES).shape == (0, 6, SAMPLES)


def test_damage_after_the_last_window_is_still_found(tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    whole = record(even())
    list(batches(parts, whole, run_s=2.0))
    path = parts.path("raw_imu", KEY)
    data = bytearray(path.read_bytes())
    # Somewhere in the values of the last batches.
    data[len(data) * 9 // 10] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StoreDamagedError, match=r"digest|readable|whole"):
        resample_raw_windows(
            parts.read("raw_imu", KEY), grid=make_grid(), first=np.array([0]), samples=SAMPLES
        )
