"""A notebook's windows are those of the stores, cut from the same samples."""

from fractions import Fraction

import numpy as np
import pytest

from pipelines.imu.resample import design_low_pass, resample_runs
from primus_train.interchange.windows import resample
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_S, Interval


@pytest.mark.parametrize("rate_hz", [100, 200, 1000])
def test_raw_samples_become_what_a_store_holds(rate_hz: int) -> None:
    count = 8 * rate_hz
    rng = np.random.default_rng(0)
    values = rng.normal(size=(count, 6)) + np.array([9.81, 0, 0, 0, 0, 0])
    t_ns = np.arange(count, dtype=np.int64) * (NS_PER_S // rate_hz)
    samples = ImuSamples(
        accel=TriadSamples(t_ns=t_ns, values=values[:, :3]),
        gyro=TriadSamples(t_ns=t_ns, values=values[:, 3:]),
    )
    blocks = resample_runs(
        [samples],
        span=Interval(0, 8 * NS_PER_S),
        low_pass=design_low_pass(step_ns=NS_PER_S // 50, cutoff_hz=20.0),
        max_gap_ns=100_000_000,
        block_ns=NS_PER_S,
    )
    stored = np.concatenate([block.values for block in blocks])
    got = resample(values.T.copy(), source=Fraction(rate_hz), target=Fraction(50), count=400)
    # Both ends too: neither pads.
    np.testing.assert_allclose(got.T, stored, rtol=0, atol=1e-9)
