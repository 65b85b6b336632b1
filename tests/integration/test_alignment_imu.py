"""Every point of the imu part against the motion that really took place."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.config import DatasetConfig, ImuConfig, TextConfig, VideoConfig
from pipelines.datasets.egoexo4d import EgoExo4DReader
from pipelines.parts.imu import write_imu_part
from pipelines.parts.store import PartStore
from pipelines.synthetic.truth import TakeTruth, imu_truth, read_truth
from schemas.imu import IMU_CHANNELS
from schemas.time import NS_PER_MS
from tests.integration.alignment import (
    STEP_MS,
    TOLERANCE_MS,
    fine_truth,
    is_assumed,
    lag_ms,
    true_device_ns,
)

pytest.importorskip("projectaria_tools.core.data_provider")
pytestmark = pytest.mark.slow

KEY = "ef" * 32


@pytest.fixture(scope="module")
def takes(small_dataset: Path) -> list[TakeTruth]:
    some = list(read_truth(small_dataset).takes[:3])
    assert {is_assumed(take) for take in some} == {True, False}
    return some


@pytest.mark.parametrize("number", range(3))
def test_part_follows_the_true_motion(
    number: int, takes: list[TakeTruth], small_dataset: Path, tmp_path: Path
) -> None:
    truth = takes[number]
    reader = EgoExo4DReader(
        DatasetConfig(name="egoexo4d", root=small_dataset),
        imu=ImuConfig(),
        video=VideoConfig(),
        text=TextConfig(),
    )
    (take,) = [t for t in reader.read_catalogue().takes if t.take_uid == truth.take_uid]
    clock = reader.read_clock(take)
    assert clock.uncertainty_ns == (33_333_333 if is_assumed(truth) else 0)
    store = PartStore(tmp_path)
    recording = reader.read_imu(take, clock)
    write_imu_part(store, KEY, recording=recording, span=clock.span, config=ImuConfig())
    table = store.read_table("imu", KEY)
    t_ns = table["t_ns"].to_numpy()
    assert t_ns.tolist() == list(range(0, clock.span.end_ns, STEP_MS * NS_PER_MS))
    assert table["valid"].to_numpy().all()
    values = np.stack([table[name].to_numpy() for name in IMU_CHANNELS], axis=1).astype(np.float64)
    assert abs(lag_ms(fine_truth(truth), values, start_ns=0)) <= TOLERANCE_MS
    true = imu_truth(truth, true_device_ns(truth, t_ns))
    for c in range(6):
        assert np.corrcoef(values[:, c], true[:, c])[0, 1] > 0.9
        assert values[:, c].mean() == pytest.approx(true[:, c].mean(), abs=0.02)
