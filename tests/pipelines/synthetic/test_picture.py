import numpy as np
import numpy.typing as npt
import pytest

from pipelines.synthetic.picture import make_world, render_frame
from tests.image_shift import measure_shift

pytestmark = pytest.mark.slow


def test_roll_turns_the_scene_against_the_head() -> None:
    world = make_world(1, sub_action=0)
    kwargs = {"centre_px": (300.0, 300.0), "size_px": 448, "index": 0}
    level, tilted = (
        render_frame(world, angles=np.array([0.0, 0.0, roll]), **kwargs)[:448]
        for roll in (0.0, 0.05)
    )
    # A head tilted clockwise sees the scene turn counter-clockwise: its right half moves up.
    half = slice(96, 352)
    right = measure_shift(level[half, 320:448], tilted[half, 320:448])
    left = measure_shift(level[half, :128], tilted[half, :128])
    assert right[1] == pytest.approx(-0.05 * 160, abs=1.0)
    assert left[1] == pytest.approx(0.05 * 160, abs=1.0)


def test_both_sizes_show_the_same_scene() -> None:
    world = make_world(2, sub_action=1)
    angles = np.array([0.3, -0.1, 0.02])
    small, large = (
        render_frame(world, angles=angles, centre_px=(900.0, 500.0), size_px=size, index=5)[:size]
        for size in (448, 1408)
    )
    # Each 448-px pixel holds 22/7 px of the large picture.
    at = ((np.arange(448) + 0.5) * 22 / 7).astype(np.intp)
    difference = np.abs(large[np.ix_(at, at)].astype(int) - small.astype(int))[20:]
    assert np.mean(difference) < 4


def test_view_never_leaves_the_world_wherever_it_looks() -> None:
    world = make_world(0, sub_action=0)
    for x, y in [(0.0, 0.0), (1023.9, 1023.9), (304.0, 303.9), (-5000.0, 7777.7)]:
        frames = [
            render_frame(
                world,
                angles=np.array([0.0, 0.0, 0.12]),
                centre_px=(x + wrap, y - wrap),
                size_px=448,
                index=0,
            )
            for wrap in (0, 1024)
        ]
        np.testing.assert_array_equal(frames[0], frames[1])
        # No seam: neighbours differ as little at worst as anywhere in this ground.
        assert frames[0][:448].std() > 20


def test_looks_differ_between_activities_and_sub_actions() -> None:
    def mean_colour(activity: int, sub_action: int) -> npt.NDArray[np.float64]:
        world = make_world(activity, sub_action=sub_action)
        return np.array([world.blue.mean(), world.red.mean()])

    colours = np.array([[mean_colour(a, s) for s in range(4)] for a in (0, 3, 6)])
    assert np.ptp(colours[:, 0], axis=0).min() > 30
    for activity in range(3):
        assert np.ptp(colours[activity], axis=0).max() > 8
    bright = make_world(0, sub_action=0, brightness=10.0)
    assert bright.luma.mean() - make_world(0, sub_action=0).luma.mean() == pytest.approx(10, abs=1)
