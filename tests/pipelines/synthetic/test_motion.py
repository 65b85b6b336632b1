import numpy as np
import pytest

from pipelines.synthetic.activities import ACTIVITIES
from pipelines.synthetic.motion import GRAVITY_M_S2, Motion, Stretch, Wearer, make_motion

STRETCHES = (Stretch(0, 0.0, 5.0), Stretch(2, 5.0, 9.5), Stretch(1, 9.5, 14.0))
UPRIGHT = Wearer(tempo=1.0, amplitude=1.0, tilt_pitch_rad=0.0, tilt_roll_rad=0.0)


def make(activity: int, *, wearer: Wearer = UPRIGHT, seed: int = 3) -> Motion:
    return make_motion(activity, stretches=STRETCHES, wearer=wearer, seed=seed)


@pytest.mark.parametrize("activity", range(len(ACTIVITIES)))
def test_gyro_is_the_derivative_of_the_angles_also_across_switches(activity: int) -> None:
    motion = make(activity)
    t_s = np.arange(-1.5, 15.5, 1e-3)
    angles = motion.angles(t_s)
    rates = (angles[2:] - angles[:-2]) / 2e-3
    # The view turns with the head: yaw and pitch rates as complex numbers, turned back by the roll.
    turned = (rates[:, 0] + 1j * rates[:, 1]) * np.exp(-1j * angles[1:-1, 2])
    expected = np.stack([turned.real, turned.imag, rates[:, 2]], axis=1)
    gyro = motion.imu(t_s)[1:-1, 3:]
    # A central difference of 1 ms steps is short by (2 pi f h)^2 / 6: 0.3 % at 17 Hz.
    np.testing.assert_allclose(gyro, expected, atol=5e-3)
    assert gyro.std(axis=0).min() > 0.03


def test_accelerometer_reads_gravity_turned_by_pitch_and_roll() -> None:
    still = make(0, wearer=Wearer(tempo=1, amplitude=0, tilt_pitch_rad=0.1, tilt_roll_rad=-0.2))
    t_s = np.arange(0, 14, 0.01)
    pitch = still.angles(t_s)[:, 1] + 0.1
    roll = still.angles(t_s)[:, 2] - 0.2
    # Up seen from the device: world up (-x) under the inverse of pitch about y, then roll about z.
    expected = []
    for p, r in zip(pitch, roll, strict=True):
        about_y = np.array([[np.cos(p), 0, np.sin(p)], [0, 1, 0], [-np.sin(p), 0, np.cos(p)]])
        about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
        expected.append((about_y @ about_z).T @ [-GRAVITY_M_S2, 0, 0])
    rest = still.imu(t_s)[:, :3] - np.array(expected)
    # What is left is the zero-mean sway that no activity explains.
    assert np.abs(rest.mean(axis=0)).max() < 0.05
    assert rest.std() < 0.6


def test_tempo_moves_the_spectrum_and_amplitude_its_height() -> None:
    t_s = np.arange(0, 14, 0.02)

    def peak_hz(tempo: float) -> float:
        wearer = Wearer(tempo=tempo, amplitude=1, tilt_pitch_rad=0, tilt_roll_rad=0)
        motion = make_motion(4, stretches=[Stretch(0, 0, 14)], wearer=wearer, seed=3)
        pitch = motion.imu(t_s)[:, 4]
        return float(np.fft.rfftfreq(len(t_s), 0.02)[np.abs(np.fft.rfft(pitch)).argmax()])

    assert peak_hz(1.0) == pytest.approx(1.8, abs=0.25)
    assert peak_hz(1.5) == pytest.approx(2.7, abs=0.35)


def test_equal_seeds_move_alike_and_others_do_not() -> None:
    t_s = np.linspace(0, 14, 50)
    np.testing.assert_array_equal(make(1).imu(t_s), make(1).imu(t_s))
    assert np.abs(make(1).imu(t_s) - make(1, seed=4).imu(t_s)).max() > 0.1


def test_no_instants_give_no_rows() -> None:
    assert make(0).imu(np.zeros(0)).shape == (0, 6)
