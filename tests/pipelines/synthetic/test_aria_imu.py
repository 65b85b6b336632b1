"""A take's VRS file, calibrated by projectaria-tools, gives back the true signal."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from projectaria_tools.core import data_provider

from pipelines.synthetic.aria_imu import write_take_vrs
from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.truth import TakeTruth, imu_sample_ns, imu_truth


def open_take(path: Path, take: TakeTruth) -> Any:
    write_take_vrs(path, take=take)
    return data_provider.create_vrs_data_provider(str(path))


def read_stamps(provider: Any, label: str) -> npt.NDArray[np.int64]:
    stream = provider.get_stream_id_from_label(label)
    return np.array(
        [
            provider.get_imu_data_by_index(stream, i).capture_timestamp_ns
            for i in range(provider.get_num_data(stream))
        ],
        dtype=np.int64,
    )


def test_both_imus_give_the_true_signal_in_the_device_frame(tmp_path: Path) -> None:
    take = plan_dataset(takes=1, seconds=1, seed=4).takes[0]
    provider = open_take(tmp_path / "imu.vrs", take)
    calibration = provider.get_device_calibration()
    raw_means = []
    for stream in take.imu:
        stream_id = provider.get_stream_id_from_label(stream.label)
        chip = calibration.get_imu_calib(stream.label)
        turn = chip.get_transform_device_imu().rotation().to_matrix()
        samples = [
            provider.get_imu_data_by_index(stream_id, i)
            for i in range(provider.get_num_data(stream_id))
        ]
        t_ns = np.array([s.capture_timestamp_ns for s in samples], dtype=np.int64)
        np.testing.assert_array_equal(t_ns, imu_sample_ns(stream))
        accel = np.array([turn @ chip.raw_to_rectified_accel(s.accel_msec2) for s in samples])
        gyro = np.array([turn @ chip.raw_to_rectified_gyro(s.gyro_radsec) for s in samples])
        error = np.concatenate([accel, gyro], axis=1) - imu_truth(take, t_ns)
        noise = take.participant.noise
        spread = error.std(axis=0)
        np.testing.assert_allclose(spread, noise * np.repeat([0.06, 0.006], 3), rtol=0.1)
        assert (np.abs(error.mean(axis=0)) < 4 * spread / np.sqrt(len(error)) + 1e-6).all()
        raw_means.append(np.mean([s.accel_msec2 for s in samples], axis=0))
    # Raw values of the two chips have nothing in common before calibration.
    assert np.abs(raw_means[0] - raw_means[1]).max() > 3


def test_calibration_states_the_time_offsets_and_can_be_left_out(tmp_path: Path) -> None:
    take = plan_dataset(takes=1, seconds=1, seed=4).takes[0]
    provider = open_take(tmp_path / "a.vrs", take)
    tags = provider.get_file_tags()
    assert '"TimeOffsetSec_Device_Accel": 0.0029' in tags["calib_json"]
    assert '"TimeOffsetSec_Device_Gyro": 0.0041' in tags["calib_json"]
    bare = take.model_copy(update={"fault": "no_calibration"})
    assert open_take(tmp_path / "b.vrs", bare).get_device_calibration() is None


@pytest.mark.slow
def test_long_takes_are_written_in_blocks_without_a_seam(tmp_path: Path) -> None:
    take = plan_dataset(takes=1, seconds=45, seed=4).takes[0]
    provider = open_take(tmp_path / "imu.vrs", take)
    for stream in take.imu:
        np.testing.assert_array_equal(read_stamps(provider, stream.label), imu_sample_ns(stream))


def test_imu_gap_leaves_out_exactly_its_samples(tmp_path: Path) -> None:
    take = plan_dataset(takes=1, seconds=2, seed=4, faults=["imu_gap"]).takes[0]
    assert take.imu_gap_ns is not None
    provider = open_take(tmp_path / "imu.vrs", take)
    for stream in take.imu:
        whole = imu_sample_ns(stream)
        inside = (whole >= take.imu_gap_ns[0]) & (whole < take.imu_gap_ns[1])
        assert inside.sum() == pytest.approx(0.4 * stream.rate_hz, abs=1)
        np.testing.assert_array_equal(read_stamps(provider, stream.label), whole[~inside])


def read_values(provider: Any, label: str, field: str) -> npt.NDArray[np.float64]:
    stream = provider.get_stream_id_from_label(label)
    return np.array(
        [
            getattr(provider.get_imu_data_by_index(stream, i), field)
            for i in range(provider.get_num_data(stream))
        ]
    )


def test_late_stamps_stand_for_what_was_before(tmp_path: Path) -> None:
    take = plan_dataset(takes=1, seconds=2, seed=4, faults=["imu_late"]).takes[0]
    provider = open_take(tmp_path / "imu.vrs", take)
    (stream,) = (s for s in take.imu if s.label == "imu-right")
    true_ns = imu_sample_ns(stream)
    np.testing.assert_array_equal(read_stamps(provider, stream.label), true_ns + 800_000_000)
    chip = provider.get_device_calibration().get_imu_calib(stream.label)
    turn = chip.get_transform_device_imu().rotation().to_matrix()
    raw = read_values(provider, stream.label, "gyro_radsec")
    gyro = np.array([turn @ chip.raw_to_rectified_gyro(row) for row in raw])
    off = [(gyro - imu_truth(take, at)[:, 3:]).std() for at in (true_ns, true_ns + 800_000_000)]
    assert off[0] < 0.012
    assert off[1] > 0.1


def test_stamps_step_back_once_in_the_middle(tmp_path: Path) -> None:
    take = plan_dataset(takes=1, seconds=2, seed=4, faults=["imu_backward"]).takes[0]
    provider = open_take(tmp_path / "imu.vrs", take)
    for stream in take.imu:
        steps = np.diff(read_stamps(provider, stream.label))
        assert (steps < 0).sum() == 1
        assert steps.min() == pytest.approx(1e9 / stream.rate_hz - 50e6, abs=150_000)


def test_single_samples_of_either_sensor_are_nan(tmp_path: Path) -> None:
    take = plan_dataset(takes=1, seconds=2, seed=4, faults=["imu_nan"]).takes[0]
    provider = open_take(tmp_path / "imu.vrs", take)
    lost = {}
    for field in ("accel_msec2", "gyro_radsec"):
        values = read_values(provider, "imu-right", field)
        lost[field] = np.flatnonzero(np.isnan(values).any(axis=1))
        assert len(lost[field]) == pytest.approx(len(values) / 400, abs=1)
        assert np.diff(lost[field]).min() >= 399
    assert not set(lost["accel_msec2"]) & set(lost["gyro_radsec"])
