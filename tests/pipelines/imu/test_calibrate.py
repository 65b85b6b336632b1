from pathlib import Path

import numpy as np
import pytest

from pipelines.imu.aria_calibration import read_aria_calibration
from pipelines.imu.calibrate import TriadCalibration, apply_calibration

MATRIX = np.array([[1.01, 0.02, -0.01], [0.0, 0.98, 0.03], [0.0, 0.0, 1.02]])
BIAS = np.array([0.1, -0.2, 0.3])
QUARTER_TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


def test_calibration_undoes_the_sensor_model() -> None:
    true = np.random.default_rng(0).normal(size=(20, 3))
    raw = np.stack([MATRIX @ x + BIAS for x in true])
    triad = TriadCalibration(matrix=MATRIX, bias=BIAS, time_offset_ns=0)
    turned = apply_calibration(raw, triad=triad, rotation=QUARTER_TURN)
    np.testing.assert_allclose(turned, np.stack([QUARTER_TURN @ x for x in true]), atol=1e-12)


def test_bits_do_not_depend_on_the_number_of_samples() -> None:
    raw = np.random.default_rng(1).normal(size=(257, 3))
    triad = TriadCalibration(matrix=MATRIX, bias=BIAS, time_offset_ns=0)
    whole = apply_calibration(raw, triad=triad, rotation=QUARTER_TURN)
    for n in (1, 3, 64, 255):
        some = apply_calibration(raw[:n], triad=triad, rotation=QUARTER_TURN)
        assert some.tobytes() == whole[:n].tobytes()


def test_no_samples_stay_none() -> None:
    triad = TriadCalibration(matrix=MATRIX, bias=BIAS, time_offset_ns=0)
    assert apply_calibration(np.empty((0, 3)), triad=triad, rotation=np.eye(3)).shape == (0, 3)


@pytest.mark.parametrize("name", ["aria_everyday_activities.vrs", "aria_unit_test.vrs"])
@pytest.mark.parametrize("stream", ["imu-right", "imu-left"])
def test_calibration_equals_the_makers_own(shared_data: Path, name: str, stream: str) -> None:
    data_provider = pytest.importorskip("projectaria_tools.core.data_provider")
    provider = data_provider.create_vrs_data_provider(str(shared_data / name))
    ours = read_aria_calibration(provider, stream=stream, path=Path(name))
    assert ours is not None
    theirs = provider.get_device_calibration().get_imu_calib(stream)
    pose = theirs.get_transform_device_imu()
    origin = (pose @ np.zeros(3)).ravel()
    sensors = (
        (ours.accel, theirs.raw_to_rectified_accel),
        (ours.gyro, theirs.raw_to_rectified_gyro),
    )
    for triad, rectify in sensors:
        raw = np.random.default_rng(2).normal(size=(8, 3))
        # Moving a vector through the whole pose and taking the origin off leaves the rotation.
        expected = [(pose @ np.asarray(rectify(x))).ravel() - origin for x in raw]
        got = apply_calibration(raw, triad=triad, rotation=ours.rotation)
        np.testing.assert_allclose(got, expected, atol=1e-6)
    assert ours.accel.time_offset_ns == round(theirs.get_time_offset_sec_device_accel() * 1e9)
    assert ours.gyro.time_offset_ns == round(theirs.get_time_offset_sec_device_gyro() * 1e9)
    assert 1_000_000 < ours.accel.time_offset_ns < 6_000_000
