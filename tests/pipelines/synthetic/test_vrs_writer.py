"""The writer's files, read back by projectaria-tools."""

from pathlib import Path

import numpy as np
import pytest
from projectaria_tools.core import data_provider

from pipelines.synthetic.vrs_writer import AriaImuBlock, AriaImuStream, write_aria_vrs

RIGHT = AriaImuStream(instance=1, label="imu-right", nominal_rate_hz=1000.0, sensor_model="BMI085")
LEFT = AriaImuStream(instance=2, label="imu-left", nominal_rate_hz=800.0, sensor_model="BMI263")


def make_block(
    instance: int, *, count: int, first_ns: int = 300_000_000_000, step_ns: int = 1_000_500
) -> AriaImuBlock:
    rng = np.random.default_rng([instance, count])
    return AriaImuBlock(
        instance=instance,
        t_ns=first_ns + step_ns * np.arange(count, dtype=np.int64),
        accel_m_s2=rng.normal(size=(count, 3)),
        gyro_rad_s=rng.normal(size=(count, 3)),
        accel_valid=rng.random(count) < 0.9,
        gyro_valid=rng.random(count) < 0.9,
    )


def test_every_sample_comes_back_exactly(tmp_path: Path) -> None:
    right = [make_block(1, count=50), make_block(1, count=30, first_ns=301_000_000_000)]
    left = [make_block(2, count=41, step_ns=1_238_543)]
    path = tmp_path / "imu.vrs"
    written = write_aria_vrs(
        path, streams=[RIGHT, LEFT], blocks=[[right[0], left[0]], [right[1]]], calib_json=None
    )
    assert written == 121
    provider = data_provider.create_vrs_data_provider(str(path))
    for label, stream_id, blocks in (("imu-right", "1202-1", right), ("imu-left", "1202-2", left)):
        stream = provider.get_stream_id_from_label(label)
        assert str(stream) == stream_id
        assert provider.get_num_data(stream) == sum(len(block.t_ns) for block in blocks)
        found = [
            provider.get_imu_data_by_index(stream, i) for i in range(provider.get_num_data(stream))
        ]
        for name, field in (
            ("capture_timestamp_ns", "t_ns"),
            ("accel_valid", "accel_valid"),
            ("gyro_valid", "gyro_valid"),
        ):
            expected = np.concatenate([getattr(block, field) for block in blocks])
            np.testing.assert_array_equal([getattr(f, name) for f in found], expected)
        for name, field in (("accel_msec2", "accel_m_s2"), ("gyro_radsec", "gyro_rad_s")):
            expected = np.concatenate([getattr(block, field) for block in blocks])
            np.testing.assert_array_equal(
                np.array([getattr(f, name) for f in found]), expected.astype(np.float32)
            )
        assert provider.get_imu_configuration(stream).nominal_rate_hz in (1000.0, 800.0)


def test_stream_without_samples_is_there_and_empty(tmp_path: Path) -> None:
    path = tmp_path / "imu.vrs"
    assert write_aria_vrs(path, streams=[RIGHT], blocks=[], calib_json=None) == 0
    provider = data_provider.create_vrs_data_provider(str(path))
    assert provider.get_num_data(provider.get_stream_id_from_label("imu-right")) == 0


def test_record_chain_holds_and_index_lies_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "imu.vrs"
    blocks = [[make_block(1, count=3), make_block(2, count=2, step_ns=1_238_543)]]
    write_aria_vrs(path, streams=[RIGHT, LEFT], blocks=blocks, calib_json="{}")
    raw = path.read_bytes()
    at, previous, types = 80, 0, []
    while at < len(raw):
        size, before, type_id = np.frombuffer(raw, "<u4", 3, at).tolist()
        assert before == previous
        types.append(type_id)
        at, previous = at + size, size
    # Description; two configurations; two states; five samples; index.
    assert types == [2] + [1202] * 9 + [1]
    assert at == len(raw)
    assert int(np.frombuffer(raw, "<i8", 1, 24)[0]) == len(raw) - previous


def test_stretches_out_of_order_are_refused(tmp_path: Path) -> None:
    blocks = [[make_block(1, count=2, first_ns=10**9)], [make_block(1, count=2, first_ns=0)]]
    with pytest.raises(ValueError, match="must follow each other in time, got 0 after 1001000500"):
        write_aria_vrs(tmp_path / "imu.vrs", streams=[RIGHT], blocks=blocks, calib_json=None)
