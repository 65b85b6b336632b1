"""The hard windows, seen through a Fourier transform that the generator does not use."""

from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.synthetic.hard_imu import (
    GLASSES,
    HARD_BANDS_HZ,
    PHONE,
    HardDevice,
    HardWearer,
    draw_hard_wearer,
    make_hard_imu,
)

RATE_HZ = 50.0
IDEAL = HardWearer(pace=1.0, turn=np.eye(3), gains=np.ones(6))
CLEAN = HardDevice(
    mount_deg=0,
    turn_deg=0,
    gain_sigma=0,
    accel_noise_m_s2=0,
    gyro_noise_rad_s=0,
    hum_hz=11,
    hum_m_s2=0,
    nuisance=0,
)


def make(
    activity: int,
    *,
    device: HardDevice = CLEAN,
    wearer: HardWearer = IDEAL,
    seed: int = 0,
    subs: tuple[int, ...] = (0,),
    seconds: float = 40.0,
) -> npt.NDArray[np.float64]:
    values = make_hard_imu(
        activity,
        sub_actions=subs,
        device=device,
        wearer=wearer,
        seconds_each=seconds,
        rate_hz=RATE_HZ,
        rng=np.random.default_rng(seed),
    )
    assert values.dtype == np.float32
    return values.astype(np.float64)


def spectrum(x: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    centred = x - x.mean(axis=1, keepdims=True)
    power: npt.NDArray[np.float64] = np.abs(np.fft.rfft(centred, axis=1)) ** 2
    frequency = np.fft.rfftfreq(x.shape[1], 1 / RATE_HZ).astype(np.float64)
    return frequency, power


def band_power(x: npt.NDArray[np.float64], hz: float) -> npt.NDArray[np.float64]:
    frequency, power = spectrum(x)
    # Bursts spread a tone by a multiple of their own rate, 0.45 Hz.
    near = np.abs(frequency - hz) < 0.8
    share: npt.NDArray[np.float64] = power[:, near].sum(axis=1)
    return share


@cache
def several(activity: int) -> tuple[npt.NDArray[np.float64], ...]:
    return tuple(make(activity, seed=seed) for seed in range(6))


def mean_over_seeds(activity: int, hz: float) -> npt.NDArray[np.float64]:
    mean: npt.NDArray[np.float64] = np.mean([band_power(x, hz) for x in several(activity)], axis=0)
    return mean


@pytest.mark.parametrize("hz", HARD_BANDS_HZ)
def test_every_activity_is_as_strong_in_every_band_of_each_sensor(hz: float) -> None:
    powers = np.array([mean_over_seeds(activity, hz) for activity in range(8)])
    for triad in (slice(0, 3), slice(3, 6)):
        whole = powers[:, triad].sum(axis=1)
        assert whole.max() / whole.min() < 1.4


def test_one_bit_turns_which_axis_leads() -> None:
    # Band 0 of the accelerometer goes by bit 0, of the gyroscope by bit 1.
    for bit, triad in ((0, slice(0, 3)), (1, slice(3, 6))):
        for activity in range(8):
            first, _, last = mean_over_seeds(activity, HARD_BANDS_HZ[0])[triad]
            assert (last > first) == bool(activity >> bit & 1)


def test_one_bit_sets_two_axes_a_quarter_apart() -> None:
    # Band 0 of the accelerometer goes by bit 1; the steady ones (bit 2 unset) are pure tones.
    found = {}
    for activity in range(4):
        x = make(activity)
        frequency, power = spectrum(x)
        at = int(np.argmax(np.where(np.abs(frequency - 1.4) < 0.2, power[1], 0)))
        phases = np.angle(np.fft.rfft(x, axis=1)[:3, at])
        found[activity] = np.abs(np.angle(np.exp(1j * (phases[1] - phases[0]))))
    for activity, apart in found.items():
        wanted = np.pi / 2 if activity >> 1 & 1 else 0.0
        assert apart == pytest.approx(wanted, abs=0.9)
    assert min(found[2], found[3]) > max(found[0], found[1])


def test_one_bit_brings_a_band_in_bursts() -> None:
    def swing(activity: int) -> float:
        x = make(activity)[1]
        frequency = np.fft.rfftfreq(len(x), 1 / RATE_HZ)
        # What lies about band 0, as a complex signal whose size is the band's strength now.
        kept = np.where((frequency > 0.6) & (frequency < 2.2), np.fft.rfft(x), 0)
        full = np.concatenate([2 * kept, np.zeros(len(x) - len(kept))])
        strength = np.abs(np.fft.ifft(full))[100:-100]
        return float(strength.std() / strength.mean())

    steady, bursts = [swing(a) for a in range(4)], [swing(a) for a in range(4, 8)]
    assert max(steady) < 0.2 < 0.4 < min(bursts)


def test_gains_turns_and_noise_come_upon_motion() -> None:
    gains = np.array([1.5, 0.5, 1, 1, 2, 1])
    np.testing.assert_allclose(
        make(3, wearer=replace(IDEAL, gains=gains)), gains[:, None] * make(3), rtol=1e-4, atol=1e-5
    )
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned, plain = make(3, wearer=replace(IDEAL, turn=turn)), make(3)
    np.testing.assert_allclose(turned[0], -plain[1], atol=1e-5)
    np.testing.assert_allclose(turned[4], plain[3], atol=1e-5)
    noisy = make(3, device=replace(CLEAN, accel_noise_m_s2=0.5)) - plain
    assert noisy[:3].std() == pytest.approx(0.5, rel=0.05)
    assert np.abs(noisy[3:]).max() < 1e-5


def test_a_hum_is_one_tone_of_its_strength() -> None:
    hummed = make(0, device=replace(CLEAN, hum_m_s2=0.6)) - make(0)
    np.testing.assert_allclose(hummed.std(axis=1), [0.6] * 3 + [0.2] * 3, rtol=0.01)
    frequency, power = spectrum(hummed)
    assert (frequency[power.argmax(axis=1)] == 11).all()


@pytest.mark.parametrize("device", [GLASSES, PHONE])
def test_wearers_differ_and_are_rotations_with_gains(device: HardDevice) -> None:
    rng = np.random.default_rng(5)
    wearers = [draw_hard_wearer(device, rng=rng) for _ in range(300)]
    for wearer in wearers[:20]:
        np.testing.assert_allclose(wearer.turn @ wearer.turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(wearer.turn) == pytest.approx(1)
    logs = np.log([wearer.gains for wearer in wearers])
    assert logs.std() == pytest.approx(device.gain_sigma, rel=0.1)
    assert abs(logs.mean()) < 0.1 * device.gain_sigma
    still = np.mean([wearer.turn for wearer in wearers], axis=0)
    # The mean turn is about the diagonal by the mount's angle: its trace is near 1 + 2 cos.
    assert np.trace(still) == pytest.approx(1 + 2 * np.cos(np.deg2rad(device.mount_deg)), abs=0.15)


def test_equal_seeds_are_equal_and_every_window_has_its_own_moment() -> None:
    whole = make(5, device=GLASSES, subs=(1, 1, 3), seconds=5.0)
    assert whole.shape == (6, 750)
    np.testing.assert_array_equal(whole, make(5, device=GLASSES, subs=(1, 1, 3), seconds=5.0))
    assert np.abs(whole - make(5, device=GLASSES, subs=(1, 1, 3), seconds=5.0, seed=1)).max() > 1
    assert np.abs(whole[:, :250] - whole[:, 250:500]).max() > 1


@pytest.mark.parametrize(("activity", "sub"), [(-1, 0), (8, 0), (0, 4), (0, -1)])
def test_numbers_of_nothing_are_refused(activity: int, sub: int) -> None:
    with pytest.raises(ValueError, match="must be 0 to"):
        make(activity, subs=(sub,))
