"""The raw imu part holds what was recorded, in float32, and little beyond the take."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.datasets.base import ImuRecording
from pipelines.parts.keys import imu_key, raw_imu_key
from pipelines.parts.raw_imu import RAW_IMU_SCHEMA, read_raw_batch, write_raw_imu_part
from pipelines.parts.store import PartStore
from schemas.errors import TakeError
from schemas.imu import ImuSamples, TriadSamples
from schemas.manifest import SourceEntry
from schemas.time import NS_PER_S, Interval
from tests.factories import make_config, make_take

SPAN = Interval(0, 3 * NS_PER_S)
KEY = "ab" * 32


def triad(t_ns: list[int], *, seed: int) -> TriadSamples:
    values = np.random.default_rng(seed).normal(size=(len(t_ns), 3))
    return TriadSamples(t_ns=np.array(t_ns, dtype=np.int64), values=values)


def write(parts: PartStore, runs: Iterator[ImuSamples]) -> None:
    recording = ImuRecording(runs=runs, frame="sensor", stream="imu-left")
    write_raw_imu_part(parts, KEY, recording=recording, span=SPAN)


def test_runs_come_back_one_a_batch(tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    runs = [
        ImuSamples(accel=triad([0, 5, 9], seed=1), gyro=triad([1, 2], seed=2)),
        ImuSamples(accel=triad([], seed=0), gyro=triad([11], seed=3)),
    ]
    write(parts, iter(runs))
    read = [read_raw_batch(batch) for batch in parts.read("raw_imu", KEY)]
    assert len(read) == 2
    for run, got in zip(runs, read, strict=True):
        for one, other in ((run.accel, got.accel), (run.gyro, got.gyro)):
            np.testing.assert_array_equal(other.t_ns, one.t_ns)
            np.testing.assert_array_equal(other.values, one.values.astype(np.float32))
    table = parts.read_table("raw_imu", KEY)
    assert table.schema.names == RAW_IMU_SCHEMA.names
    assert table.schema.metadata[b"imu_frame"] == b"sensor"
    assert table.schema.metadata[b"imu_stream"] == b"imu-left"


def test_samples_far_from_the_take_are_left_out(tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    t_ns = [s * NS_PER_S // 2 for s in range(-8, 20)]
    write(parts, iter([ImuSamples(accel=triad(t_ns, seed=1), gyro=triad(t_ns, seed=2))]))
    (got,) = (read_raw_batch(batch) for batch in parts.read("raw_imu", KEY))
    assert got.accel.t_ns.tolist() == [t for t in t_ns if -NS_PER_S <= t < 4 * NS_PER_S]


def test_no_sample_is_an_empty_part(tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    write(parts, iter([]))
    assert parts.has("raw_imu", KEY)
    assert list(parts.read("raw_imu", KEY)) == []


def test_a_fault_of_the_runs_leaves_no_part(tmp_path: Path) -> None:
    def runs() -> Iterator[ImuSamples]:
        yield ImuSamples(accel=triad([0], seed=1), gyro=triad([0], seed=2))
        raise TakeError("imu_not_monotonic", "IMU stamps must not go back")

    parts = PartStore(tmp_path)
    with pytest.raises(TakeError, match="must not go back"):
        write(parts, runs())
    assert not parts.has("raw_imu", KEY)


def test_only_what_the_samples_rest_on_decides_the_key() -> None:
    take = make_take()
    sources = [SourceEntry(take_uid=take.take_uid, path="i", size=5, fingerprint="f" * 64)]

    def key_with(**imu: object) -> tuple[str, str]:
        config = make_config(Path("store"), imu=imu)
        return (
            raw_imu_key(sources, config=config, take=take),
            imu_key(sources, config=config, take=take),
        )

    raw, grid = key_with()
    assert raw != grid
    assert key_with(cutoff_hz=3.0)[0] == raw
    assert key_with(max_gap_ms=50)[0] == raw
    # The imu part is there under either resampling, and the same.
    assert key_with(resampling="window") == (raw, grid)
    for changed in ({"alignment": "first_sample"}, {"accept_sensor_frame": True}):
        other = key_with(**changed)
        assert other[0] != raw
        assert other[1] != grid
