from typing import Any

import numpy as np
import pytest

from schemas.errors import SchemaError
from schemas.imu import IMU_CHANNELS, IMU_PART_SCHEMA, IMU_UNITS, ImuSamples, TriadSamples


def make(**overrides: Any) -> TriadSamples:
    fields = {"t_ns": np.array([1, 2, 3]), "values": np.zeros((3, 3))}
    return TriadSamples(**{**fields, **overrides})


def test_samples_are_read_only_views_of_untouched_arrays() -> None:
    values = np.ones((3, 3))
    samples = make(values=values)
    with pytest.raises(ValueError, match="read-only"):
        samples.values[0, 0] = 2
    values[0, 0] = 5
    assert samples.values[0, 0] == 5
    assert len(samples) == 3


def test_no_sample_and_one_sample_are_fine() -> None:
    for n in (0, 1):
        assert len(make(t_ns=np.zeros(n, np.int64), values=np.zeros((n, 3)))) == n


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        pytest.param(
            {"t_ns": np.array([1.0, 2, 3])}, r"t_ns: must be int64 \(N,\), got float64", id="dtype"
        ),
        pytest.param(
            {"values": np.zeros((3, 812))},
            r"values: must be float64 \(3, 3\), got float64 \(3, 812\)",
            id="shape",
        ),
        pytest.param({"values": np.zeros((3, 3), np.float32)}, "got float32", id="precision"),
        pytest.param(
            {"t_ns": np.array([1, 3, 3])}, "strictly increasing, got a step back after sample 1",
            id="repeat",
        ),
        pytest.param(
            {"values": np.array([[0, 0, 0], [0, np.nan, np.inf], [0, 0, 0]])},
            "must be finite, got 1 samples that are not",
            id="nan",
        ),
    ],
)  # fmt: skip
def test_broken_samples_are_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        make(**overrides)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SchemaError, match=r"t_ns: .*; values: ") as caught:
        make(t_ns=np.zeros((3, 1), np.int64), values=np.zeros(3))
    assert [p.loc for p in caught.value.problems] == ["t_ns", "values"]


def test_sensors_keep_their_own_stamps() -> None:
    accel = make()
    gyro = make(t_ns=np.array([5]), values=np.ones((1, 3)))
    samples = ImuSamples(accel=accel, gyro=gyro)
    assert (len(samples.accel), len(samples.gyro)) == (3, 1)


def test_channels_units_and_part_columns_agree() -> None:
    assert len(IMU_CHANNELS) == len(IMU_UNITS) == 6
    recorded = ["samples", "invalid_samples", "saturated_samples"]
    recorded += ["intervals", "interval_sum_ns", "interval_sum_us2"]
    assert IMU_PART_SCHEMA.names == ["t_ns", *IMU_CHANNELS, "gap_ns", "valid", *recorded]
