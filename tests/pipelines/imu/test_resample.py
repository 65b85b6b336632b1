"""Resampling against closed forms, a slow loop of its own, and itself at other boundaries."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.imu.gaps import GAP_CAP_NS
from pipelines.imu.resample import LowPass, ResampledBlock, design_low_pass, resample_runs
from schemas.errors import UsageError
from schemas.imu import ImuSamples, TriadSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval

STEP_NS = 20 * NS_PER_MS
LOW_PASS = design_low_pass(step_ns=STEP_NS, cutoff_hz=20.0)
Signal = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def stamps(
    seconds: float, *, rate_hz: float = 999.5, start_s: float = -1.0, jitter_ns: int = 60_000
) -> npt.NDArray[np.int64]:
    rng = np.random.default_rng(5)
    n = round((seconds - start_s + 1) * rate_hz)
    even = start_s * NS_PER_S + np.arange(n) * NS_PER_S / rate_hz
    return np.rint(even + rng.integers(-jitter_ns, jitter_ns + 1, n)).astype(np.int64)


def triad(t_ns: npt.NDArray[np.int64], signal: Signal) -> TriadSamples:
    t_s = t_ns / NS_PER_S
    return TriadSamples(t_ns=t_ns, values=np.stack([signal(t_s), -signal(t_s), 2 * signal(t_s)], 1))


def resample(
    accel: TriadSamples,
    gyro: TriadSamples,
    *,
    seconds: float,
    run_s: float = 3.0,
    block_s: float = 60.0,
    max_gap_ms: int = 100,
    low_pass: LowPass = LOW_PASS,
) -> ResampledBlock:
    blocks = list(
        resample_runs(
            in_runs(accel, gyro, run_s=run_s),
            span=Interval(0, round(seconds * NS_PER_S)),
            low_pass=low_pass,
            max_gap_ns=max_gap_ms * NS_PER_MS,
            block_ns=round(block_s * NS_PER_S),
        )
    )
    return ResampledBlock(
        t_ns=np.concatenate([b.t_ns for b in blocks]),
        values=np.concatenate([b.values for b in blocks]),
        gap_ns=np.concatenate([b.gap_ns for b in blocks]),
        valid=np.concatenate([b.valid for b in blocks]),
    )


def in_runs(accel: TriadSamples, gyro: TriadSamples, *, run_s: float) -> Iterator[ImuSamples]:
    first = min(int(t.t_ns[0]) for t in (accel, gyro) if len(t))
    last = max(int(t.t_ns[-1]) for t in (accel, gyro) if len(t))
    for start in range(first, last + 1, round(run_s * NS_PER_S)):
        stop = start + round(run_s * NS_PER_S)
        cut = []
        for t in (accel, gyro):
            lo, hi = np.searchsorted(t.t_ns, [start, stop])
            cut.append(TriadSamples(t_ns=t.t_ns[lo:hi], values=t.values[lo:hi]))
        yield ImuSamples(accel=cut[0], gyro=cut[1])


def without(t_ns: npt.NDArray[np.int64], start_s: float, end_s: float) -> npt.NDArray[np.int64]:
    return t_ns[(t_ns < start_s * NS_PER_S) | (t_ns > end_s * NS_PER_S)]


def tone(hz: float) -> Signal:
    return lambda t: np.sin(2 * np.pi * hz * t + 0.3)


def test_grid_is_every_multiple_of_the_step_in_the_span() -> None:
    t = stamps(1)
    out = resample(triad(t, tone(1)), triad(t, tone(1)), seconds=1)
    assert out.t_ns.tolist() == [i * STEP_NS for i in range(50)]
    assert out.valid.all()


@pytest.mark.parametrize("rate_hz", [999.5, 807.4])
def test_chirp_below_15_hz_comes_out_within_a_hundredth(rate_hz: float) -> None:
    seconds = 20.0
    t = stamps(seconds, rate_hz=rate_hz)

    def chirp(t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.sin(2 * np.pi * (0.5 * t_s + 14.0 / seconds * t_s**2 / 2))

    out = resample(triad(t, chirp), triad(t, tone(3)), seconds=seconds)
    t_s = out.t_ns / NS_PER_S
    np.testing.assert_allclose(out.values[:, 0], chirp(t_s), atol=0.01)
    np.testing.assert_allclose(out.values[:, 2], 2 * chirp(t_s), atol=0.02)
    np.testing.assert_allclose(out.values[:, 4], -tone(3)(t_s), atol=0.01)


@pytest.mark.parametrize("hz", [25.5, 30.0, 40.0, 49.0, 60.0, 100.0, 250.0, 333.0])
def test_tones_above_half_the_grid_rate_are_gone(hz: float) -> None:
    # Unfiltered, each would come out as an alias of full height; 0.01 is -40 dB.
    t = stamps(6)
    out = resample(triad(t, tone(hz)), triad(t, tone(hz)), seconds=6)
    assert np.sqrt(2 * np.mean(out.values[:, 0] ** 2)) < 0.01


def test_response_at_the_cutoff_is_half() -> None:
    t = stamps(10)
    out = resample(triad(t, tone(20)), triad(t, tone(20)), seconds=10)
    assert np.sqrt(2 * np.mean(out.values[:, 0] ** 2)) == pytest.approx(0.5, abs=0.01)


def test_constant_gravity_stays_constant_up_to_both_ends() -> None:
    # Recording and take end together, where zero padding would show 5.15, 10.62, 9.46 ...
    t = np.arange(0, 5001) * NS_PER_MS
    g = triad(t, lambda t_s: np.full(t_s.shape, 9.81))
    out = resample(g, g, seconds=5.0)
    assert out.valid.all()
    np.testing.assert_allclose(out.values[:, 0], 9.81, atol=1e-9)
    np.testing.assert_allclose(out.values[:, 5], 19.62, atol=1e-9)


def test_smooth_motion_stays_close_at_the_ends() -> None:
    t = np.arange(0, 3001) * NS_PER_MS
    out = resample(triad(t, tone(1)), triad(t, tone(1)), seconds=3.0)
    assert np.abs(out.values[:, 0] - tone(1)(out.t_ns / NS_PER_S)).max() < 0.06


def test_outside_the_recording_nothing_is_valid() -> None:
    t = stamps(2, start_s=-1)
    t = t[(t >= 430 * NS_PER_MS) & (t <= 1570 * NS_PER_MS)]
    out = resample(triad(t, tone(1)), triad(t, tone(1)), seconds=2)
    expected = (out.t_ns >= t[0]) & (out.t_ns <= t[-1])
    assert out.valid.tolist() == expected.tolist()
    assert 55 < out.valid.sum() < 58
    assert (out.values[~out.valid] == 0).all()
    assert (out.gap_ns[~out.valid] == GAP_CAP_NS).all()


def test_either_sensor_missing_makes_a_point_invalid() -> None:
    t = stamps(2)
    out = resample(triad(without(t, 0.5, 0.9), tone(1)), triad(t, tone(1)), seconds=2)
    at_ms = out.t_ns / NS_PER_MS
    assert out.valid.tolist() == ((at_ms < 500) | (at_ms > 900)).tolist()
    assert (out.gap_ns[~out.valid] > 399 * NS_PER_MS).all()


@pytest.mark.parametrize(("gap_ms", "bridged"), [(98, True), (103, False)])
def test_gap_is_bridged_up_to_its_limit(gap_ms: int, bridged: bool) -> None:
    t = np.arange(-1000, 3000) * NS_PER_MS
    t = t[(t <= NS_PER_S) | (t >= NS_PER_S + gap_ms * NS_PER_MS)]
    ramp = triad(t, lambda t_s: 5 + t_s)
    out = resample(ramp, ramp, seconds=2)
    inside = (out.t_ns > NS_PER_S) & (out.t_ns < NS_PER_S + gap_ms * NS_PER_MS)
    assert out.valid[inside].tolist() == [bridged] * int(inside.sum())
    assert out.gap_ns[inside].tolist() == [gap_ms * NS_PER_MS] * int(inside.sum())
    assert out.valid[~inside].all()
    if bridged:
        np.testing.assert_allclose(out.values[:, 0], 5 + out.t_ns / NS_PER_S, atol=1e-6)


def test_constant_stays_constant_around_gaps() -> None:
    t = without(without(stamps(4), 1.0, 1.5), 1.62, 1.9)
    g = triad(t, lambda t_s: np.full(t_s.shape, 9.81))
    out = resample(g, g, seconds=4)
    assert 0 < (~out.valid).sum() < 60
    np.testing.assert_allclose(out.values[out.valid, 0], 9.81, atol=1e-9)


def test_signal_beyond_a_long_gap_does_not_leak_over_it() -> None:
    t = without(stamps(4), 2.0, 2.11)
    step = triad(t, lambda t_s: np.where(t_s < 2.05, 1.0, 100.0))
    out = resample(step, step, seconds=4)
    before = out.valid & (out.t_ns < 2 * NS_PER_S)
    np.testing.assert_allclose(out.values[before, 0], 1.0, atol=1e-9)
    after = out.valid & (out.t_ns > 2.1 * NS_PER_S)
    np.testing.assert_allclose(out.values[after, 0], 100.0, atol=1e-7)


def test_values_equal_a_slow_loop_over_plain_numbers() -> None:
    t = without(stamps(2.0), 0.7, 0.85)
    rng = np.random.default_rng(8)
    accel = TriadSamples(t_ns=t, values=rng.normal(size=(len(t), 3)))
    out = resample(accel, accel, seconds=2.0)
    limit = 100 * NS_PER_MS
    reach = LOW_PASS.reach

    def line(at: int) -> float | None:
        right = int(np.searchsorted(t, at))
        if right < len(t) and t[right] == at:
            return float(accel.values[right, 1])
        if right in (0, len(t)) or t[right] - t[right - 1] > limit:
            return None
        share = (at - t[right - 1]) / (t[right] - t[right - 1])
        return float((1 - share) * accel.values[right - 1, 1] + share * accel.values[right, 1])

    for k in (0, 1, 20, 33, 34, 35, 36, 40, 43, 44, 50, 99):
        centre = k * STEP_NS
        here = line(centre)
        if here is None:
            assert not out.valid[k]
            continue
        weighted, total = LOW_PASS.half[0] * here, LOW_PASS.half[0]
        for side in (-1, 1):
            for i in range(1, reach + 1):
                value = line(centre + side * i * NS_PER_MS)
                if value is None:
                    break
                weighted += LOW_PASS.half[i] * value
                total += LOW_PASS.half[i]
        assert out.values[k, 1] == pytest.approx(weighted / total, abs=1e-9)


@pytest.mark.parametrize(("run_s", "block_s"), [(0.05, 60), (0.7, 0.3), (11, 0.04), (100, 4.99)])
def test_bits_do_not_depend_on_run_or_block_boundaries(run_s: float, block_s: float) -> None:
    rng = np.random.default_rng(11)
    t = without(without(stamps(10.0), 3.0, 3.4), 7.001, 7.05)
    u = without(stamps(10.0, rate_hz=807.4, start_s=0.5), 9.0, 9.3)
    accel = TriadSamples(t_ns=t, values=rng.normal(size=(len(t), 3)))
    gyro = TriadSamples(t_ns=u, values=rng.normal(size=(len(u), 3)))
    whole = resample(accel, gyro, seconds=10.0, run_s=1000, block_s=1000)
    other = resample(accel, gyro, seconds=10.0, run_s=run_s, block_s=block_s)
    assert 400 < whole.valid.sum() < 500
    for name in ("t_ns", "values", "gap_ns", "valid"):
        assert getattr(other, name).tobytes() == getattr(whole, name).tobytes(), name


def test_a_sensor_that_dies_does_not_fill_the_memory() -> None:
    # The gyroscope stops; the accelerometer goes on for a minute and must not be read ahead.
    ended = TriadSamples(t_ns=np.empty(0, dtype=np.int64), values=np.empty((0, 3)))
    read: list[int] = []

    def runs() -> Iterator[ImuSamples]:
        for second in range(60):
            read.append(second)
            t = (second * 1000 + np.arange(1000)) * NS_PER_MS
            alive = triad(t, tone(1))
            yield ImuSamples(accel=alive, gyro=alive if second < 5 else ended)

    blocks = resample_runs(
        runs(),
        span=Interval(0, 60 * NS_PER_S),
        low_pass=LOW_PASS,
        max_gap_ns=100 * NS_PER_MS,
        block_ns=NS_PER_S,
    )
    valid, ahead = 0, []
    for i, block in enumerate(blocks):
        valid += int(block.valid.sum())
        ahead.append(len(read) - (i + 1))
    assert valid == 250
    assert max(ahead) <= 11


def test_no_samples_give_no_valid_point() -> None:
    blocks = list(
        resample_runs(
            [],
            span=Interval(0, NS_PER_S),
            low_pass=LOW_PASS,
            max_gap_ns=100 * NS_PER_MS,
            block_ns=NS_PER_S,
        )
    )
    assert [len(b.t_ns) for b in blocks] == [50]
    assert not blocks[0].valid.any()
    assert (blocks[0].values == 0).all()


def test_one_sample_is_valid_at_its_own_instant_alone() -> None:
    one = TriadSamples(t_ns=np.array([100 * NS_PER_MS]), values=np.array([[1.0, 2.0, 3.0]]))
    out = resample(one, one, seconds=1)
    assert np.flatnonzero(out.valid).tolist() == [5]
    np.testing.assert_allclose(out.values[5], [1, 2, 3, 1, 2, 3], rtol=1e-12)


def test_span_shorter_than_a_step_has_its_first_point() -> None:
    t = stamps(1)
    out = resample(triad(t, tone(1)), triad(t, tone(1)), seconds=0.001)
    assert out.t_ns.tolist() == [0]
    assert out.valid.tolist() == [True]


@pytest.mark.parametrize(("rate", "cutoff_hz"), [(64, 25.0), (100, 40.0), (25, 10.0), (50, 5.0)])
def test_other_grids_pass_below_and_stop_above(rate: int, cutoff_hz: float) -> None:
    low_pass = design_low_pass(step_ns=NS_PER_S // rate, cutoff_hz=cutoff_hz)
    assert low_pass.factor * rate >= 1000
    t = stamps(6)
    slow, fast = cutoff_hz / 4, rate / 2 + 3
    out = resample(triad(t, tone(slow)), triad(t, tone(fast)), seconds=6, low_pass=low_pass)
    expected = tone(slow)(out.t_ns / NS_PER_S)
    np.testing.assert_allclose(out.values[:, 0], expected, atol=0.01)
    assert np.abs(out.values[:, 3]).max() < 0.01


def test_slow_sensor_loses_no_more_than_its_straight_lines_do() -> None:
    t = stamps(6, rate_hz=200.0)
    out = resample(triad(t, tone(10)), triad(t, tone(15)), seconds=6)
    t_s = out.t_ns / NS_PER_S
    np.testing.assert_allclose(out.values[:, 0], tone(10)(t_s), atol=0.015)
    np.testing.assert_allclose(out.values[:, 3], tone(15)(t_s), atol=0.03)


@pytest.mark.parametrize("cutoff_hz", [0.99, 23.8, 25.0, 100.0])
def test_cutoff_must_leave_room_below_half_the_rate(cutoff_hz: float) -> None:
    with pytest.raises(UsageError, match=r"imu\.cutoff_hz must lie in \[1, 23\.75\], .* got"):
        design_low_pass(step_ns=STEP_NS, cutoff_hz=cutoff_hz)


def test_gap_limit_beyond_the_cap_is_refused() -> None:
    t = stamps(1)
    with pytest.raises(UsageError, match=r"imu\.max_gap_ms must be below 10000, got 10000"):
        resample(triad(t, tone(1)), triad(t, tone(1)), seconds=1, max_gap_ms=10_000)
