"""IMU windows whose activity is hard to tell: all activities share frequencies and strength.

Every activity moves in the same three bands, with the same power in each band of each sensor. What
tells them apart is how the axes of a sensor go together: which one leads in strength, whether two
are in step, in opposition or a quarter behind, and whether a band comes steadily or in bursts. Each
of the three bits of an activity's number decides one of these in each band and sensor, and none of
them changes when time runs backwards. On top come what the moment brings (motion at other
frequencies that tells nothing), how a wearer carries the device (a turn of its axes, a gain an
axis, a pace) and the sensor's noise. Gravity is left out, as from a phone's linear acceleration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.synthetic.activities import SUB_ACTIONS

__all__ = [
    "GLASSES",
    "HARD_BANDS_HZ",
    "PHONE",
    "HardDevice",
    "HardWearer",
    "draw_hard_wearer",
    "make_hard_imu",
]

Floats = npt.NDArray[np.float64]

HARD_BANDS_HZ: Final = (1.4, 3.1, 6.0)
"""Common to all activities; apart enough for any sub-action's pace and any wearer's."""
_ACCEL_RMS_M_S2: Final = (1.6, 1.5, 1.3)
_GYRO_RMS_RAD_S: Final = (0.55, 0.5, 0.45)
"""A band's root mean square over the three axes together."""
_AXIS_SHARES: Final = ((0.92, 0.36, 0.15), (0.15, 0.36, 0.92))
"""Amplitudes of unit norm of a sensor's axes, by an activity's bit."""
_AXIS_PHASES: Final = ((0.0, 0.0, np.pi), (0.0, np.pi / 2, np.pi))
_BURST_HZ: Final = 0.45
_PACE: Final = (1.0, 0.9, 1.1, 1.0)
_WEIGHTS: Final = ((1.0, 1.0, 1.0), (1.3, 0.9, 0.7), (0.7, 1.3, 0.9), (0.9, 0.7, 1.3))
"""Of the bands, by sub-action."""
_NUISANCE_SINES: Final = 5
_NUISANCE_HZ: Final = (0.3, 9.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HardDevice:
    """A kind of device, and how unlike its specimens and their wearers are.

    Attributes:
        mount_deg: turn about the diagonal of its axes against the body, the same for all.
        turn_deg: standard deviation of each wearer's own turn, about an axis of its own.
        gain_sigma: standard deviation of the logarithm of each axis's gain.
        accel_noise_m_s2: white noise of the accelerometer.
        gyro_noise_rad_s: white noise of the gyroscope.
        hum_hz: frequency of a hum in all axes.
        hum_m_s2: its root mean square; in rad/s a third of it.
        nuisance: strength of motion that tells nothing, over that of the activity.
    """

    mount_deg: float
    turn_deg: float
    gain_sigma: float
    accel_noise_m_s2: float
    gyro_noise_rad_s: float
    hum_hz: float
    hum_m_s2: float
    nuisance: float


GLASSES: Final = HardDevice(
    mount_deg=0.0,
    turn_deg=12.0,
    gain_sigma=0.12,
    accel_noise_m_s2=1.0,
    gyro_noise_rad_s=0.35,
    hum_hz=11.0,
    hum_m_s2=0.0,
    nuisance=0.1,
)
PHONE: Final = HardDevice(
    mount_deg=25.0,
    turn_deg=16.0,
    gain_sigma=0.35,
    accel_noise_m_s2=0.7,
    gyro_noise_rad_s=0.4,
    hum_hz=11.0,
    hum_m_s2=0.6,
    nuisance=0.1,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HardWearer:
    """A person with a device.

    Attributes:
        pace: factor on all frequencies of an activity.
        turn: (3, 3) rotation from body to device axes.
        gains: (6,) of the channels.
    """

    pace: float
    turn: Floats
    gains: Floats


def draw_hard_wearer(device: HardDevice, *, rng: np.random.Generator) -> HardWearer:
    """Return one wearer of ``device``."""
    axis = rng.normal(size=3)
    own = _rotation(axis, degrees=float(rng.normal(0, device.turn_deg)))
    mount = _rotation(np.ones(3), degrees=device.mount_deg)
    return HardWearer(
        pace=float(rng.uniform(0.94, 1.06)),
        turn=own @ mount,
        gains=np.exp(rng.normal(0, device.gain_sigma, 6)),
    )


def make_hard_imu(
    activity: int,
    *,
    sub_actions: Sequence[int],
    device: HardDevice,
    wearer: HardWearer,
    seconds_each: float,
    rate_hz: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Return a take's windows in a row: (6, N), accel in m/s2 and gyro in rad/s.

    Args:
        activity: 0 to 7.
        sub_actions: of each window, each an index into ``SUB_ACTIONS``.
        device: what records.
        wearer: who.
        seconds_each: length of a window.
        rate_hz: samples a second.
        rng: of phases, of the moment's motion, of noise.

    Raises:
        ValueError: if the activity or a sub-action has no such number.
    """
    if not 0 <= activity < 8:
        raise ValueError(f"activity must be 0 to 7, got {activity}")
    if any(not 0 <= sub < len(SUB_ACTIONS) for sub in sub_actions):
        raise ValueError(f"sub_actions must be 0 to {len(SUB_ACTIONS) - 1}, got {sub_actions}")
    count = round(seconds_each * rate_hz)
    pieces = []
    for number, sub_action in enumerate(sub_actions):
        t_s = (number * count + np.arange(count)) / rate_hz
        motion = _motion(activity, sub_action, t_s=t_s, pace=wearer.pace, rng=rng)
        pieces.append(motion + _nuisance(t_s, strength=device.nuisance, rng=rng))
    values = np.concatenate(pieces, axis=1)
    turned = np.concatenate([wearer.turn @ values[:3], wearer.turn @ values[3:]])
    noise = np.repeat([device.accel_noise_m_s2, device.gyro_noise_rad_s], 3)[:, None]
    recorded = wearer.gains[:, None] * turned + noise * rng.normal(size=turned.shape)
    recorded += _hum(device, count=values.shape[1], rate_hz=rate_hz, rng=rng)
    taken: npt.NDArray[np.float32] = recorded.astype(np.float32)
    return taken


def _motion(
    activity: int, sub_action: int, *, t_s: Floats, pace: float, rng: np.random.Generator
) -> Floats:
    """Return what the activity itself moves: (6, N)."""
    bits = [activity >> k & 1 for k in range(3)]
    pace = pace * _PACE[sub_action] * float(rng.uniform(0.97, 1.03))
    burst_phase = float(rng.uniform(0, 2 * np.pi))
    # Half its time on, and as strong over a period as steady motion.
    on = 0.5 - 0.5 * np.tanh(4 * np.cos(2 * np.pi * _BURST_HZ * pace * t_s + burst_phase))
    burst = on / np.sqrt(np.mean(on**2))
    moved = np.zeros((6, len(t_s)))
    for band, hz in enumerate(HARD_BANDS_HZ):
        envelope = burst if bits[(band + 2) % 3] else np.ones_like(t_s)
        omega = 2 * np.pi * hz * pace
        for sensor, rms in enumerate((_ACCEL_RMS_M_S2, _GYRO_RMS_RAD_S)):
            shares = np.array(_AXIS_SHARES[bits[(band + sensor) % 3]])
            phases = np.array(_AXIS_PHASES[bits[(band + sensor + 1) % 3]])
            # Nobody does it twice alike.
            shares = shares * rng.uniform(0.85, 1.15, 3)
            phases = phases + rng.normal(0, 0.2, 3) + rng.uniform(0, 2 * np.pi)
            amplitude = np.sqrt(2) * rms[band] * _WEIGHTS[sub_action][band] * shares
            moved[3 * sensor : 3 * sensor + 3] += (
                envelope * amplitude[:, None] * np.cos(omega * t_s + phases[:, None])
            )
    return moved


def _nuisance(t_s: Floats, *, strength: float, rng: np.random.Generator) -> Floats:
    """Return motion at frequencies and along axes drawn anew: (6, N)."""
    low, high = np.log(_NUISANCE_HZ)
    moved = np.zeros((6, len(t_s)))
    for sensor, bands in enumerate((_ACCEL_RMS_M_S2, _GYRO_RMS_RAD_S)):
        rms = strength * float(np.linalg.norm(bands)) / np.sqrt(_NUISANCE_SINES)
        for _ in range(_NUISANCE_SINES):
            along = rng.normal(size=3)
            along *= np.sqrt(2) * rms * float(rng.uniform(0.4, 1.4)) / np.linalg.norm(along)
            hz = float(np.exp(rng.uniform(low, high)))
            phase = rng.uniform(0, 2 * np.pi, 3)[:, None]
            moved[3 * sensor : 3 * sensor + 3] += along[:, None] * np.cos(
                2 * np.pi * hz * t_s + phase
            )
    return moved


def _hum(device: HardDevice, *, count: int, rate_hz: float, rng: np.random.Generator) -> Floats:
    """Return the device's hum: (6, count)."""
    t_s = np.arange(count) / rate_hz
    phase = rng.uniform(0, 2 * np.pi, 6)[:, None]
    rms = np.repeat([device.hum_m_s2, device.hum_m_s2 / 3], 3)[:, None]
    hummed: Floats = np.sqrt(2) * rms * np.cos(2 * np.pi * device.hum_hz * t_s + phase)
    return hummed


def _rotation(axis: Floats, *, degrees: float) -> Floats:
    """Return the rotation about ``axis`` (3,) by the formula of Rodrigues."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    turn: Floats = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return turn
