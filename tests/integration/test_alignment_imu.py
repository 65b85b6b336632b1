"""The imu part against the motion that really took place, and two clocks known to be wrong.

The oracle shares nothing with the pipeline: truth.json's closed-form signal, on the true stamps of
the video's frames.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.align.clock import TakeClock
from pipelines.config import DatasetConfig, ImuConfig, VideoConfig
from pipelines.datasets.egoexo4d import EgoExo4DReader
from pipelines.parts.imu import write_imu_part
from pipelines.parts.store import PartStore
from pipelines.synthetic.truth import TakeTruth, frame_device_ns, imu_truth, read_truth
from schemas.imu import IMU_CHANNELS
from schemas.time import NS_PER_MS, NS_PER_S

pytest.importorskip("projectaria_tools.core.data_provider")
pytestmark = pytest.mark.slow

TOLERANCE_MS = 5
KEY = "ef" * 32


def lag_ms(truth: TakeTruth, values: npt.NDArray[np.float64], t_ns: npt.NDArray[np.int64]) -> int:
    """Return the shift of the true signal that fits ``values`` best, by least squares."""
    limit = 2000
    fine_ms = np.arange(-limit, int(t_ns[-1]) // NS_PER_MS + limit + 1)
    true = imu_truth(truth, true_device_ns(truth, fine_ms * NS_PER_MS))
    # Each channel counts alike, whatever its unit.
    scale = values.std(axis=0)
    at = t_ns // NS_PER_MS + limit
    lags = range(-limit, limit + 1)
    squares = [float((((true[at + lag] - values) / scale) ** 2).sum()) for lag in lags]
    return lags[int(np.argmin(squares))]


def true_device_ns(truth: TakeTruth, take_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return device instants by the true stamps of the frames, 1/30 s apart on the take clock."""
    stamps = frame_device_ns(truth)
    frame = take_ns * 30 / NS_PER_S
    left = np.clip(np.floor(frame).astype(int), 0, len(stamps) - 2)
    step = stamps[left + 1] - stamps[left]
    return np.rint(stamps[left] + (frame - left) * step).astype(np.int64)


def read_part(
    root: Path,
    parts: Path,
    uid: str,
    *,
    k0: Literal[0, 1] = 0,
    spoil: Callable[[TakeClock], TakeClock] = lambda clock: clock,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], TakeClock]:
    config = DatasetConfig(name="egoexo4d", root=root, timesync_k0=k0)
    reader = EgoExo4DReader(config, imu=ImuConfig(), video=VideoConfig())
    (take,) = [t for t in reader.read_catalogue().takes if t.take_uid == uid]
    clock = spoil(reader.read_clock(take))
    store = PartStore(parts)
    recording = reader.read_imu(take, clock)
    write_imu_part(store, KEY, recording=recording, span=clock.span, config=ImuConfig())
    table = store.read_table("imu", KEY)
    valid = table["valid"].to_numpy()
    assert valid[1:].all()  # the wrong clock's first point lies before the first sample
    values = np.stack([table[name].to_numpy() for name in IMU_CHANNELS], axis=1)
    return values[valid].astype(np.float64), table["t_ns"].to_numpy()[valid], clock


def first_sample_rule(truth: TakeTruth) -> Callable[[TakeClock], TakeClock]:
    """Return the published rule: the first IMU sample is the first video frame."""
    first_ns = next(s.first_ns for s in truth.imu if s.label == "imu-right")

    def spoil(clock: TakeClock) -> TakeClock:
        ends = np.array([0, NS_PER_S])
        # The recording begins early, so it also covers a shorter stretch of this wrong take.
        return TakeClock(device_ns=first_ns + ends, take_ns=ends, span=clock.span)

    return spoil


def some_takes(root: Path, *, count: int = 3) -> list[TakeTruth]:
    return list(read_truth(root).takes[:count])


def is_assumed(truth: TakeTruth) -> bool:
    return truth.frames == truth.end_row - truth.start_row


def test_part_follows_the_true_motion(small_dataset: Path, tmp_path: Path) -> None:
    takes = some_takes(small_dataset)
    assert {is_assumed(take) for take in takes} == {True, False}
    for i, truth in enumerate(takes):
        values, t_ns, clock = read_part(small_dataset, tmp_path / str(i), truth.take_uid)
        assert len(t_ns) == -(-clock.span.end_ns // (20 * NS_PER_MS))
        assert abs(lag_ms(truth, values, t_ns)) <= TOLERANCE_MS
        true = imu_truth(truth, true_device_ns(truth, t_ns))
        for c in range(6):
            assert np.corrcoef(values[:, c], true[:, c])[0, 1] > 0.9
            assert values[:, c].mean() == pytest.approx(true[:, c].mean(), abs=0.02)
        assert clock.uncertainty_ns == (33_333_333 if is_assumed(truth) else 0)


def test_wrong_row_convention_is_seen(small_dataset: Path, tmp_path: Path) -> None:
    truth = next(take for take in some_takes(small_dataset) if is_assumed(take))
    values, t_ns, _ = read_part(small_dataset, tmp_path, truth.take_uid, k0=1)
    assert lag_ms(truth, values, t_ns) == pytest.approx(33.3, abs=TOLERANCE_MS)


def test_published_first_sample_rule_is_seen(small_dataset: Path, tmp_path: Path) -> None:
    truth = some_takes(small_dataset)[0]
    values, t_ns, _ = read_part(
        small_dataset, tmp_path, truth.take_uid, spoil=first_sample_rule(truth)
    )
    first_ns = next(s.first_ns for s in truth.imu if s.label == "imu-right")
    early_ms = (int(frame_device_ns(truth)[0]) - first_ns) / NS_PER_MS
    assert early_ms > 250
    assert lag_ms(truth, values, t_ns) == pytest.approx(-early_ms, abs=TOLERANCE_MS)
