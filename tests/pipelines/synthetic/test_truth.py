from pathlib import Path

import numpy as np
import pytest

from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.truth import (
    camera_angles,
    frame_device_ns,
    imu_sample_ns,
    imu_truth,
    read_truth,
    row_device_ns,
    sub_action_at,
)
from schemas.errors import UsageError


def test_truth_survives_its_file(tmp_path: Path) -> None:
    truth = plan_dataset(takes=3, seconds=6, seed=4, faults=["imu_gap"])
    (tmp_path / "truth.json").write_text(truth.model_dump_json())
    again = read_truth(tmp_path)
    assert again == truth
    at = frame_device_ns(truth.takes[0])
    np.testing.assert_array_equal(imu_truth(again.takes[0], at), imu_truth(truth.takes[0], at))


def test_missing_and_foreign_truth_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"truth\.json must lie in a synthetic dataset, got none"):
        read_truth(tmp_path)
    (tmp_path / "truth.json").write_text('{"seed": 1}')
    with pytest.raises(UsageError, match=r"truth\.json must fit its schema"):
        read_truth(tmp_path)


def test_frames_are_the_rows_from_start_plus_k0() -> None:
    take = plan_dataset(takes=1, seconds=3, seed=4).takes[0]
    rows = row_device_ns(take.clock)
    frames = frame_device_ns(take)
    assert len(frames) == 90
    assert frames[0] == rows[take.start_row]
    assert frames[-1] == rows[take.start_row + 89]
    later = take.model_copy(update={"k0": 1})
    np.testing.assert_array_equal(frame_device_ns(later)[:-1], frames[1:])


@pytest.mark.parametrize("stream", [0, 1])
def test_imu_stamps_do_not_depend_on_how_they_are_asked_for(stream: int) -> None:
    imu = plan_dataset(takes=1, seconds=2, seed=4).takes[0].imu[stream]
    whole = imu_sample_ns(imu)
    parts = [imu_sample_ns(imu, first=a, count=b) for a, b in ((0, 1), (1, 700), (701, 0))]
    parts.append(imu_sample_ns(imu, first=701))
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(whole) == imu.samples
    assert np.diff(whole).min() > 0
    steps = np.diff(whole)
    assert 1e9 / steps.mean() == pytest.approx((999.5, 807.4)[stream], rel=1e-4)
    assert np.abs(steps - steps.mean()).max() < (125_000, 2)[stream]


def test_angles_integrate_the_gyroscope() -> None:
    take = plan_dataset(takes=4, seconds=6, seed=4).takes[3]
    at = take.origin_ns + np.arange(0, 6_000_000_000, 1_000_000, dtype=np.int64)
    gyro = imu_truth(take, at)[:, 3:]
    angles = camera_angles(take, at)
    # The gyroscope turns with the view: turn its x and y forward by the roll before integrating.
    turned = (gyro[:, 0] + 1j * gyro[:, 1]) * np.exp(1j * angles[:, 2])
    rates = np.stack([turned.real, turned.imag, gyro[:, 2]], axis=1)
    integral = np.cumsum((rates[1:] + rates[:-1]) / 2 * 1e-3, axis=0)
    np.testing.assert_allclose(integral, angles[1:] - angles[0], atol=1e-4)


def test_sub_action_at_holds_half_open_parts() -> None:
    take = plan_dataset(takes=1, seconds=20, seed=4).takes[0]
    first, second = take.sub_actions[:2]
    switch_ns = take.origin_ns + round(first.end_s * 1e9)
    assert sub_action_at(take, switch_ns - 10) == first.sub_action
    assert sub_action_at(take, switch_ns + 10) == second.sub_action
    assert sub_action_at(take, take.origin_ns - 10**9) == first.sub_action
    assert sub_action_at(take, take.origin_ns + 10**11) == take.sub_actions[-1].sub_action
