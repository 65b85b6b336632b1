"""The closed-form motion of a head: angles that turn the camera, and what an IMU feels of them.

Device frame of the glasses: x down, y left, z forward, as Aria's. Yaw (positive turns right) and
pitch (positive looks down) move the view over the world; roll (positive tilts the head clockwise
as the wearer sees it) turns the view. The gyroscope turns with the view: it reads the rates of yaw
and pitch turned by the roll, and the rate of the roll. The accelerometer reads gravity, turned by
pitch and roll, plus linear acceleration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.synthetic.activities import ACTIVITIES, SUB_ACTIONS

__all__ = ["GRAVITY_M_S2", "Motion", "Stretch", "Wearer", "make_motion"]

GRAVITY_M_S2: Final = 9.81
# A sub-action fades into the next within this time, centred on the switch.
_FADE_S: Final = 0.8
# Nobody holds the head twice alike: standard deviation of a stretch's pose.
_POSE_DEG: Final = 2.5
_SINES_PER_BAND: Final = 3
_BAND_WIDTH: Final = 0.12
# Head motion that tells nothing of the activity: (axes, sines an axis, rms, lowest and highest Hz).
_NUISANCE: Final = ((range(3), 4, 0.04, 0.25, 5.0), (range(3, 6), 4, 0.12, 0.3, 8.0))
# Slow looking around, so that the view is another one seconds later: axis -> (rms rad/s, Hz range).
_WANDER: Final = ((0, 0.20, 0.05, 0.12), (1, 0.03, 0.06, 0.14), (2, 0.01, 0.05, 0.15))


@dataclass(frozen=True, slots=True)
class Stretch:
    """One sub-action of a take: ``[start_s, end_s)`` on the take's motion time."""

    sub_action: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wearer:
    """What a person does to every motion: pace, strength, and how the glasses sit (rad)."""

    tempo: float
    amplitude: float
    tilt_pitch_rad: float
    tilt_roll_rad: float


@dataclass(frozen=True, slots=True)
class _Sines:
    # Sums of sines: angle(t) = rate_amp / omega * sin(omega t + phase); accel(t) = amp * cos(...).
    # The pose (yaw, pitch, roll; rad) is how the head is held meanwhile.
    pose: tuple[float, float, float]
    axis: npt.NDArray[np.int64]
    omega: npt.NDArray[np.float64]
    phase: npt.NDArray[np.float64]
    amp: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Motion:
    """A take's motion, to be asked at any instant."""

    stretches: tuple[Stretch, ...]
    wearer: Wearer
    _fades: tuple[_Sines, ...]
    _always: _Sines

    def angles(self, t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return yaw, pitch, roll in rad, (N, 3), at seconds ``t_s`` (N,) of motion time."""
        return self._evaluate(t_s)[0]

    def imu(self, t_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return accel xyz in m/s2 and gyro xyz in rad/s, (N, 6), device frame, without noise."""
        angles, rates, linear = self._evaluate(t_s)
        pitch = angles[:, 1] + self.wearer.tilt_pitch_rad
        roll = angles[:, 2] + self.wearer.tilt_roll_rad
        up = np.stack(
            [-np.cos(pitch) * np.cos(roll), np.cos(pitch) * np.sin(roll), -np.sin(pitch)], axis=1
        )
        cos, sin = np.cos(angles[:, 2]), np.sin(angles[:, 2])
        yaw_rate, pitch_rate, roll_rate = rates.T
        gyro = np.stack(
            [
                cos * yaw_rate + sin * pitch_rate,
                cos * pitch_rate - sin * yaw_rate,
                roll_rate,
            ],
            axis=1,
        )
        return np.concatenate([GRAVITY_M_S2 * up + linear, gyro], axis=1)

    def _evaluate(
        self, t_s: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        angles, moves = _sum_sines(self._always, t_s)
        first_s, last_s = (float(t_s.min()), float(t_s.max())) if len(t_s) else (0.0, 0.0)
        for number, sines in enumerate(self._fades):
            if not self._meets(number, first_s, last_s):
                continue
            weight, slope = self._weight(number, t_s)
            inside = np.flatnonzero(weight)
            part_angles, part_moves = _sum_sines(sines, t_s[inside])
            angles[inside] += weight[inside, None] * part_angles
            moves[inside] += weight[inside, None] * part_moves
            # The product rule keeps the gyroscope the exact derivative of the angles.
            moves[inside, :3] += slope[inside, None] * part_angles
        return angles, moves[:, :3], moves[:, 3:]

    def _meets(self, number: int, first_s: float, last_s: float) -> bool:
        # A take of hours has thousands of stretches, of which a block of instants meets a few.
        stretch = self.stretches[number]
        return (number == 0 or stretch.start_s - _FADE_S <= last_s) and (
            number == len(self.stretches) - 1 or stretch.end_s + _FADE_S >= first_s
        )

    def _weight(
        self, number: int, t_s: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        # The first and the last sub-action go on outside the take, as the IMU does.
        stretch = self.stretches[number]
        weight, slope = np.ones_like(t_s), np.zeros_like(t_s)
        if number > 0:
            rise, d_rise = _raised_cosine(t_s - stretch.start_s)
            weight, slope = rise, d_rise
        if number < len(self.stretches) - 1:
            fall, d_fall = _raised_cosine(stretch.end_s - t_s)
            weight, slope = weight * fall, slope * fall - weight * d_fall
        return weight, slope


def make_motion(
    activity: int, *, stretches: Sequence[Stretch], wearer: Wearer, seed: int
) -> Motion:
    """Return the motion of one take; equal arguments give equal motion.

    Args:
        activity: index into ``ACTIVITIES``.
        stretches: the take's sub-actions in time order, without gaps.
        wearer: the person.
        seed: of phases, exact frequencies and everything that tells nothing of the activity.
    """
    rng = np.random.default_rng([seed, 1])
    always: list[tuple[int, float, float]] = []
    for axis, rms, low, high in _WANDER:
        amp = rms * np.sqrt(2 / 3)
        always += [(axis, float(rng.uniform(low, high)), float(amp)) for _ in range(3)]
    fades = []
    for stretch in stretches:
        sines = _nuisance(rng)
        action = SUB_ACTIONS[stretch.sub_action]
        # Turning the axes' gains by the activity's number keeps "faster" from meaning the same
        # in every activity.
        for band in ACTIVITIES[activity].bands:
            triad, place = divmod(band.axis, 3)
            gain = action.gains[3 * triad + (place + activity) % 3] * wearer.amplitude
            amp = band.rms * gain * float(rng.uniform(0.85, 1.15)) * np.sqrt(2 / _SINES_PER_BAND)
            for _ in range(_SINES_PER_BAND):
                hz = band.hz * action.pace * wearer.tempo
                hz *= 1 + _BAND_WIDTH * float(rng.uniform(-1, 1))
                sines.append((band.axis, hz, float(amp)))
        pose = (
            0.0,
            np.deg2rad(
                ACTIVITIES[activity].pitch_deg + action.pitch_deg + rng.normal(0, _POSE_DEG)
            ),
            np.deg2rad(ACTIVITIES[activity].roll_deg + action.roll_deg + rng.normal(0, _POSE_DEG)),
        )
        fades.append(_make_sines(sines, pose=pose, rng=rng))
    at_rest = (0.0, 0.0, 0.0)
    return Motion(
        tuple(stretches), wearer, tuple(fades), _make_sines(always, pose=at_rest, rng=rng)
    )


def _nuisance(rng: np.random.Generator) -> list[tuple[int, float, float]]:
    sines: list[tuple[int, float, float]] = []
    for axes, count, rms, low, high in _NUISANCE:
        for axis in axes:
            strength = rms * float(rng.uniform(0.3, 1.7)) * np.sqrt(2 / count)
            for _ in range(count):
                hz = float(np.exp(rng.uniform(np.log(low), np.log(high))))
                sines.append((axis, hz, float(strength)))
    return sines


def _make_sines(
    entries: Sequence[tuple[int, float, float]],
    *,
    pose: tuple[float, float, float],
    rng: np.random.Generator,
) -> _Sines:
    axis, hz, amp = zip(*entries, strict=True)
    return _Sines(
        pose,
        np.array(axis, dtype=np.int64),
        2 * np.pi * np.array(hz, dtype=np.float64),
        rng.uniform(0, 2 * np.pi, len(entries)),
        np.array(amp, dtype=np.float64),
    )


def _sum_sines(
    sines: _Sines, t_s: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    angles, moves = np.tile(sines.pose, (len(t_s), 1)), np.zeros((len(t_s), 6))
    for axis, omega, phase, amp in zip(
        sines.axis, sines.omega, sines.phase, sines.amp, strict=True
    ):
        argument = omega * t_s + phase
        moves[:, axis] += amp * np.cos(argument)
        if axis < 3:
            angles[:, axis] += amp / omega * np.sin(argument)
    return angles, moves


def _raised_cosine(
    t_s: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    # From 0 at -fade/2 to 1 at +fade/2, and its derivative.
    x = np.clip(t_s / _FADE_S + 0.5, 0, 1)
    return (1 - np.cos(np.pi * x)) / 2, np.pi / (2 * _FADE_S) * np.sin(np.pi * x)
