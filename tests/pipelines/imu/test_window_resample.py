"""The published resampling: its formula summed term by term, its figures, its padding."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.imu.window_resample import (
    EARLY_NS,
    common_samples,
    resample_window,
    sinc_resample,
)
from schemas.imu import TriadSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval

WINDOW = Interval(5 * NS_PER_S, 10 * NS_PER_S)
Values = npt.NDArray[np.float64]


def direct(x: Values, *, rate_in: int, rate_out: int) -> Values:
    """Sum the formula of the module over every sample, as written."""
    f, g = rate_in, rate_out
    b = 0.99 * min(f, g)
    out = []
    for m in range(math.ceil(len(x) * g / f)):
        total = 0.0
        for k, value in enumerate(x.tolist()):
            u = b * (k / f - m / g)
            if abs(u) < 6:
                sinc = 1.0 if u == 0 else math.sin(math.pi * u) / (math.pi * u)
                total += value * b / f * sinc * math.cos(math.pi * u / 12) ** 2
        out.append(total)
    return np.array(out)


def triad(t_ns: npt.NDArray[np.int64], values: Values | None = None) -> TriadSamples:
    made = np.repeat(t_ns[:, None] / NS_PER_S, 3, axis=1) if values is None else values
    return TriadSamples(t_ns=t_ns, values=made)


def stamps(*, first_s: float, last_s: float, hz: float) -> npt.NDArray[np.int64]:
    count = round((last_s - first_s) * hz) + 1
    return np.rint(first_s * NS_PER_S + np.arange(count) * NS_PER_S / hz).astype(np.int64)


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "count"),
    [
        pytest.param(1000, 50, 300, id="aria_reduced"),
        pytest.param(999, 50, 410, id="aria_as_told"),
        pytest.param(807, 50, 333, id="the_other_chip"),
        pytest.param(201, 50, 77, id="gopro"),
        pytest.param(40, 50, 60, id="upwards"),
        pytest.param(999, 50, 1, id="one_sample"),
    ],
)
def test_resampling_is_the_formula(rate_in: int, rate_out: int, count: int) -> None:
    x = np.random.default_rng(rate_in).normal(size=count)
    got = sinc_resample(x[None], rate_in=rate_in, rate_out=rate_out)
    assert got.shape == (1, math.ceil(count * rate_out / rate_in))
    np.testing.assert_allclose(
        got[0], direct(x, rate_in=rate_in, rate_out=rate_out), rtol=0, atol=1e-12
    )


def test_equal_rates_leave_the_samples_alone() -> None:
    x = np.random.default_rng(0).normal(size=(3, 20))
    np.testing.assert_array_equal(sinc_resample(x, rate_in=50, rate_out=50), x)


def test_constant_gravity_bends_at_the_edges_by_the_known_figures() -> None:
    got = sinc_resample(np.full((1, 4995), 9.81), rate_in=999, rate_out=50)[0]
    assert len(got) == 250
    np.testing.assert_allclose(got[:3], [5.15, 10.62, 9.46], atol=0.005)
    np.testing.assert_allclose(got[10:240], 9.81, atol=0.02)


@pytest.mark.parametrize("hz", [0.5, 3.0, 12.0, 18.0])
def test_a_sine_below_the_cutoff_comes_out_right(hz: float) -> None:
    t = np.arange(5000) / 1000
    got = sinc_resample(np.sin(2 * np.pi * hz * t)[None], rate_in=1000, rate_out=50)[0]
    inner = slice(10, 240)
    expected = np.sin(2 * np.pi * hz * np.arange(250) / 50)
    assert np.abs(got - expected)[inner].max() < 0.005


def test_a_sine_well_above_the_new_half_rate_is_gone() -> None:
    x = np.sin(2 * np.pi * 60 * np.arange(5000) / 1000)
    got = sinc_resample(x[None], rate_in=1000, rate_out=50)[0]
    assert np.abs(got[10:240]).max() < 0.01


def test_a_window_is_its_own_samples_resampled() -> None:
    t_ns = stamps(first_s=0, last_s=20, hz=999.5)
    rng = np.random.default_rng(1)
    accel, gyro = (triad(t_ns, rng.normal(size=(len(t_ns), 3))) for _ in range(2))
    got = resample_window(accel, gyro, window=WINDOW, samples=250, rate_hz=50)
    assert (got.fault, got.padded, got.values.shape) == ("", 0, (6, 250))
    assert got.values.dtype == np.float32
    inside = (t_ns >= WINDOW.start_ns) & (t_ns < WINDOW.end_ns)
    # 999.5 Hz is told as 999: 251 samples come out, the last is cut off.
    for row, values in ((1, accel.values[inside, 1]), (5, gyro.values[inside, 2])):
        expected = direct(values, rate_in=999, rate_out=50)
        assert len(expected) == 251
        np.testing.assert_allclose(got.values[row], expected[:250], atol=1e-6)


@pytest.mark.parametrize(
    ("last_s", "padded", "fault"),
    [
        pytest.param(10.0, 0, "", id="reaches_the_end"),
        pytest.param(9.999, 50, "", id="one_sample_early_costs_a_second"),
        pytest.param(9.95, 50, "", id="early"),
        pytest.param(9.9, 50, "", id="just_within_reach"),
        pytest.param(9.899, 0, "imu_missing", id="too_early"),
        pytest.param(4.0, 0, "imu_missing", id="before_the_window"),
    ],
)
def test_an_early_end_is_floored_to_a_second_and_padded(
    last_s: float, padded: int, fault: str
) -> None:
    t_ns = stamps(first_s=0, last_s=last_s, hz=1000)
    ones = triad(t_ns, np.ones((len(t_ns), 3)))
    got = resample_window(ones, ones, window=WINDOW, samples=250, rate_hz=50)
    assert (got.fault, got.padded) == (fault, padded)
    if fault:
        assert not got.values.any()
    else:
        assert (got.values[:, 250 - padded :] == 0).all()
        assert (got.values[:, : 250 - padded] != 0).all()


@pytest.mark.parametrize(
    ("first_s", "fault"), [(5.0, ""), (5.1, ""), (5.101, "imu_missing"), (12.0, "imu_missing")]
)
def test_a_late_start_is_missing(first_s: float, fault: str) -> None:
    t_ns = stamps(first_s=first_s, last_s=20, hz=1000)
    got = resample_window(triad(t_ns), triad(t_ns), window=WINDOW, samples=250, rate_hz=50)
    assert got.fault == fault


def test_no_samples_and_too_few_are_missing() -> None:
    none = triad(np.empty(0, np.int64), np.empty((0, 3)))
    assert resample_window(none, none, window=WINDOW, samples=250, rate_hz=50).fault
    # One sample in the window, and one at its end: no rate can be told.
    two = triad(np.array([WINDOW.start_ns, WINDOW.end_ns]))
    assert resample_window(two, two, window=WINDOW, samples=250, rate_hz=50).fault == "imu_missing"


def test_samples_after_a_gap_move_up() -> None:
    t_ns = stamps(first_s=0, last_s=20, hz=1000)
    kept = t_ns[(t_ns < 7 * NS_PER_S) | (t_ns >= 8 * NS_PER_S)]
    ramp = triad(kept)
    got = resample_window(ramp, ramp, window=WINDOW, samples=250, rate_hz=50)
    assert got.fault == ""
    # 4000 samples in 4.999 s: taken for 799.96 Hz throughout, rounded down.
    expected = direct(ramp.values[(kept >= 5e9) & (kept < 10e9), 0], rate_in=799, rate_out=50)
    np.testing.assert_allclose(got.values[0], expected[:250], atol=1e-5)


def test_pairs_count_where_the_sensors_share_stamps() -> None:
    t_ns = stamps(first_s=0, last_s=1, hz=1000)
    accel, gyro = triad(np.delete(t_ns, [3, 7])), triad(np.delete(t_ns, [5]))
    a, g = common_samples(accel, gyro)
    np.testing.assert_array_equal(a.t_ns, np.delete(t_ns, [3, 5, 7]))
    np.testing.assert_array_equal(g.t_ns, a.t_ns)
    np.testing.assert_array_equal(a.values[:, 0], a.t_ns / NS_PER_S)


def test_sensors_with_stamps_of_their_own_keep_all_samples() -> None:
    accel = triad(stamps(first_s=0, last_s=1, hz=200))
    gyro = triad(stamps(first_s=0.0001, last_s=1, hz=190))
    a, g = common_samples(accel, gyro)
    assert (len(a), len(g)) == (len(accel), len(gyro))


def test_the_reach_is_a_tenth_of_a_second() -> None:
    assert EARLY_NS == 100 * NS_PER_MS
