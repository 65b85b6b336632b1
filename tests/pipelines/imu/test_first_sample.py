"""First-sample alignment: on what reader, from which sample, and for how long."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.align.clock import TakeClock
from pipelines.config import ImuConfig, load_config
from pipelines.datasets.base import Catalogue, ImuRecording
from pipelines.datasets.registry import open_reader
from pipelines.imu.first_sample import align_first_sample, open_imu
from schemas.errors import TakeError
from schemas.imu import ImuSamples, TriadSamples
from schemas.take import Take
from schemas.time import NS_PER_S, Interval
from tests.factories import make_take

SPAN = Interval(0, 10 * NS_PER_S)
MS = 1_000_000
FIRST_SAMPLE = ImuConfig(alignment="first_sample")


def triad(t_ns: Iterable[int]) -> TriadSamples:
    stamps = np.array(list(t_ns), dtype=np.int64)
    return TriadSamples(t_ns=stamps, values=np.repeat(stamps[:, None] / 1e9, 3, axis=1))


def recording(runs: Sequence[ImuSamples], **info: Any) -> ImuRecording:
    return ImuRecording(runs=iter(runs), frame="device", stream="imu-right", info=info)


def run(accel: Iterable[int], gyro: Iterable[int], **fields: Any) -> ImuSamples:
    return ImuSamples(accel=triad(accel), gyro=triad(gyro), **fields)


def stamps(runs: Iterable[ImuSamples], sensor: str) -> npt.NDArray[np.int64]:
    parts: list[npt.NDArray[np.int64]] = [getattr(r, sensor).t_ns for r in runs]
    return np.concatenate(parts)


@dataclass
class DeviceReader:
    """Stamps by the clock it is given, as Aria's reader does."""

    device_ns: Sequence[int]
    name: str = "egoexo4d"
    clocks: list[TakeClock] = field(default_factory=list)

    def read_catalogue(self) -> Catalogue:
        raise AssertionError

    def read_clock(self, take: Take) -> TakeClock:
        raise AssertionError(take)

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        self.clocks.append(clock)
        bounds = np.array([clock.span.start_ns, clock.span.end_ns])
        first, last = clock.to_device_ns(bounds)
        kept = np.array([t for t in self.device_ns if first <= t < last], dtype=np.int64)
        t_ns = clock.to_take_ns(kept).tolist()
        return recording([run(t_ns, t_ns)])


def drifting_clock() -> TakeClock:
    """Frame zero at 300.5 s of device time; the device runs 1 % fast."""
    take_ns = np.array([0, 10 * NS_PER_S])
    return TakeClock(device_ns=300_500 * MS + take_ns * 101 // 100, take_ns=take_ns, span=SPAN)


def test_device_seconds_are_kept_from_the_first_sample_on() -> None:
    device_ns = list(range(300 * NS_PER_S, 312 * NS_PER_S, NS_PER_S // 4))
    reader = DeviceReader(device_ns)
    opened = open_imu(reader, make_take(), drifting_clock(), config=FIRST_SAMPLE)
    got = stamps(opened.runs, "accel")
    # Nothing is cut at frame zero, and no drift is made good: 12 s of device time, all of it.
    np.testing.assert_array_equal(got, np.array(device_ns) - 300 * NS_PER_S)
    assert opened.info == {"alignment": "first_sample", "first_sample_ns": 300 * NS_PER_S}


def test_stamps_in_days_of_device_time_are_exact() -> None:
    day = 86_400 * NS_PER_S
    device_ns = [30 * day + 1, 30 * day + 1_000_003, 30 * day + NS_PER_S + 7]
    opened = open_imu(DeviceReader(device_ns), make_take(), drifting_clock(), config=FIRST_SAMPLE)
    assert stamps(opened.runs, "gyro").tolist() == [0, 1_000_002, NS_PER_S + 6]


def test_by_the_clock_the_reader_is_left_alone() -> None:
    reader, clock = DeviceReader([301 * NS_PER_S]), drifting_clock()
    opened = open_imu(reader, make_take(), clock, config=ImuConfig())
    assert reader.clocks == [clock]
    assert "alignment" not in opened.info
    assert stamps(opened.runs, "accel").tolist() == [round(0.5 * NS_PER_S / 1.01)]


def test_a_reader_on_the_take_clock_keeps_its_span() -> None:
    reader = DeviceReader([200 * MS, 300 * MS])
    clock = TakeClock.identity(SPAN)
    opened = open_imu(reader, make_take(), clock, config=FIRST_SAMPLE)
    assert reader.clocks == [clock]
    assert stamps(opened.runs, "accel").tolist() == [0, 100 * MS]


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_zero_is_the_first_instant_of_both_sensors_however_runs_are_cut(cut: int) -> None:
    accel, gyro = [10, 20, 30, 40, 50], [25, 35, 45]
    runs = []
    for low in range(0, 5, cut):
        lo, hi = accel[low], accel[low + cut] if low + cut < 5 else 100
        runs.append(run([a for a in accel if lo <= a < hi], [g for g in gyro if lo <= g < hi]))
    got = list(align_first_sample(recording(runs), span=SPAN).runs)
    assert stamps(got, "gyro").tolist() == [0, 10, 20]
    # The last one before zero stays: the value at zero rests on it.
    assert [t for t in stamps(got, "accel").tolist() if t >= -5] == [-5, 5, 15, 25]


def test_left_out_and_saturated_stamps_move_along() -> None:
    one = run([10, 20], [10, 20], invalid_ns=np.array([5, 15]), saturated_ns=np.array([20]))
    (got,) = align_first_sample(recording([one]), span=SPAN).runs
    assert got.invalid_ns.tolist() == [-5, 5]
    assert got.saturated_ns.tolist() == [10]
    np.testing.assert_array_equal(got.accel.values, one.accel.values)


def test_reading_ends_soon_after_the_take() -> None:
    read: list[int] = []

    def runs() -> Iterable[ImuSamples]:
        for second in range(100):
            read.append(second)
            yield run([second * NS_PER_S], [second * NS_PER_S])

    endless = ImuRecording(runs=iter(runs()), frame="sensor", stream="s")
    got = stamps(align_first_sample(endless, span=SPAN).runs, "accel")
    assert got.tolist() == [s * NS_PER_S for s in range(13)]
    assert len(read) == 14


def test_what_the_reader_counts_while_it_reads_is_handed_on() -> None:
    info: dict[str, int] = {"samples": 0}

    def runs() -> Iterable[ImuSamples]:
        for i in range(3):
            info["samples"] += 1
            yield run([i + 5], [i + 5])

    source = ImuRecording(runs=iter(runs()), frame="sensor", stream="s", info=info)
    moved = align_first_sample(source, span=SPAN)
    assert len(list(moved.runs)) == 3
    assert moved.info == {"samples": 3, "alignment": "first_sample", "first_sample_ns": 5}


def test_without_one_of_the_sensors_there_is_nothing() -> None:
    assert list(align_first_sample(recording([run([1, 2], [])]), span=SPAN).runs) == []
    assert list(align_first_sample(recording([]), span=SPAN).runs) == []


def test_a_fault_of_the_runs_comes_through() -> None:
    def runs() -> Iterable[ImuSamples]:
        yield run([1], [1])
        raise TakeError("imu_not_monotonic", "IMU stamps must not go back")

    source = ImuRecording(runs=iter(runs()), frame="sensor", stream="s")
    with pytest.raises(TakeError, match="must not go back"):
        list(align_first_sample(source, span=SPAN).runs)


def test_a_real_clip_begins_at_its_first_sample(shared_data: Path, tmp_path: Path) -> None:
    config = load_config(
        None,
        overrides={
            "dataset.name": "gopro",
            "dataset.root": str(shared_data),
            "store.uri": str(tmp_path),
        },
    )
    reader = open_reader(config.dataset, imu=config.imu, video=config.video, text=config.text)
    takes = reader.read_catalogue().takes
    (take,) = (take for take in takes if take.take_name == "gopro_karma")
    clock = reader.read_clock(take)
    by_clock = list(open_imu(reader, take, clock, config=config.imu).runs)
    aligned = list(open_imu(reader, take, clock, config=FIRST_SAMPLE).runs)
    first_ns = max(int(stamps(by_clock, sensor)[0]) for sensor in ("accel", "gyro"))
    for sensor in ("accel", "gyro"):
        moved = stamps(aligned, sensor)
        np.testing.assert_array_equal(moved, stamps(by_clock, sensor)[: len(moved)] - first_ns)
    assert max(int(stamps(aligned, sensor)[0]) for sensor in ("accel", "gyro")) == 0
