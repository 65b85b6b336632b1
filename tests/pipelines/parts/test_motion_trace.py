from pathlib import Path

import numpy as np
import pytest

from pipelines.parts.motion_trace import read_motion_trace
from pipelines.parts.store import PartStore
from schemas.embedding import frames_part_schema
from schemas.errors import StoreDamagedError
from schemas.imu import IMU_CHANNELS, IMU_PART_SCHEMA
from schemas.time import NS_PER_S, Interval
from tests.factories import frames_table, imu_table

SPAN = Interval(0, 6 * NS_PER_S)
IMU, FRAMES = "a" * 64, "b" * 64


@pytest.fixture
def parts(tmp_path: Path) -> PartStore:
    store = PartStore(tmp_path)
    rng = np.random.default_rng(0)
    imu = imu_table(SPAN, step_ns=NS_PER_S // 50, rng=rng, invalid=range(50))
    frames = frames_table(SPAN, step_ns=NS_PER_S // 10, dim=4, rng=rng, missing=[7])
    store.write("imu", IMU, schema=IMU_PART_SCHEMA, batches=imu.to_batches(max_chunksize=70))
    store.write(
        "frames", FRAMES, schema=frames_part_schema(4), batches=frames.to_batches(max_chunksize=16)
    )
    return store


def test_trace_holds_valid_samples_and_the_stamps_of_the_frames_used(parts: PartStore) -> None:
    trace = read_motion_trace(parts, imu_key=IMU, frames_key=FRAMES)
    imu = [row for batch in parts.read("imu", IMU) for row in batch.to_pylist()]
    assert trace.gyro_t_ns.tolist() == [row["t_ns"] for row in imu[50:]]
    assert trace.gyro_rad_s.tolist() == [[row[c] for c in IMU_CHANNELS[3:]] for row in imu[50:]]
    frames = [row for batch in parts.read("frames", FRAMES) for row in batch.to_pylist()]
    assert len(frames) == 59
    assert trace.motion_t_ns.tolist() == [row["pts_ns"] for row in frames]
    assert np.isnan(trace.motion[0]).all()
    assert trace.motion[1:].tolist() == [[r["motion_dx"], r["motion_dy"]] for r in frames[1:]]


def test_trace_of_the_beginning_ends_there(parts: PartStore) -> None:
    trace = read_motion_trace(parts, imu_key=IMU, frames_key=FRAMES, seconds=4)
    assert trace.gyro_t_ns.tolist() == [k * NS_PER_S // 50 for k in range(50, 200)]
    assert trace.gyro_rad_s.shape == (150, 3)
    assert len(trace.motion_t_ns) == len(trace.motion) == 39


def test_missing_part_is_refused(parts: PartStore) -> None:
    with pytest.raises(StoreDamagedError, match="part must be there"):
        read_motion_trace(parts, imu_key="f" * 64, frames_key=FRAMES)
