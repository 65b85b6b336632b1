"""Pictures as a decoder gives them: which frame each is, and how the head turned in between."""

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from pipelines.synthetic.picture import make_world, render_frame, write_video
from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.timecode import decode_timecode
from pipelines.synthetic.truth import FOCAL_PX_448, frame_device_ns, imu_truth

pytestmark = pytest.mark.slow


def decode(path: Path, *, pixel_format: str) -> list[npt.NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [round(frame.time * 30) for frame in frames] == list(range(len(frames)))
    return [frame.to_ndarray(format=pixel_format) for frame in frames]


def measure_shift(
    before: npt.NDArray[np.uint8], after: npt.NDArray[np.uint8]
) -> tuple[float, float]:
    # Phase correlation with a parabola through the peak: how far `after` moved, x and y in px.
    window = np.hanning(before.shape[0])[:, None] * np.hanning(before.shape[1])
    one, two = (np.fft.fft2((f - f.mean()) * window) for f in (before.astype(float), after))
    cross = two * one.conj()
    surface = np.fft.ifft2(cross / (np.abs(cross) + 1e-6)).real
    peak = np.unravel_index(surface.argmax(), surface.shape)
    shift = []
    for axis in (1, 0):
        size = surface.shape[axis]
        line = np.moveaxis(surface, axis, 0)[:, peak[1 - axis]]
        low, mid, high = (line[(peak[axis] + d) % size] for d in (-1, 0, 1))
        at = peak[axis] + (low - high) / (2 * (low - 2 * mid + high))
        shift.append(float((at + size / 2) % size - size / 2))
    return shift[0], shift[1]


@pytest.mark.parametrize(("size_px", "frames"), [(448, 90), (1408, 5)])
def test_every_decoded_frame_says_which_it_is(tmp_path: Path, size_px: int, frames: int) -> None:
    take = plan_dataset(takes=1, seconds=3, seed=8).takes[0]
    path = tmp_path / "video.mp4"
    seen_ns = frame_device_ns(take)[:frames] - take.origin_ns
    write_video(path, scene=take, seen_ns=seen_ns, size_px=size_px)
    pictures = decode(path, pixel_format="rgb24")
    assert [decode_timecode(picture) for picture in pictures] == list(range(frames))
    assert pictures[0].shape == (size_px, size_px, 3)


@pytest.mark.parametrize("number", [3, 5])
def test_picture_moves_as_the_gyroscope_says(tmp_path: Path, number: int) -> None:
    take = plan_dataset(takes=8, seconds=5, seed=8).takes[number]
    path = tmp_path / "video.mp4"
    seen_ns = frame_device_ns(take) - take.origin_ns
    write_video(path, scene=take, seen_ns=seen_ns, size_px=448)
    pictures = decode(path, pixel_format="gray")
    measured = np.array([measure_shift(a, b) for a, b in pairwise(pictures)])
    # Gyroscope integrated from frame to frame on a 0.5 ms grid.
    stamps = frame_device_ns(take)
    grid = np.arange(stamps[0], stamps[-1] + 1, 500_000)
    gyro = imu_truth(take, grid)[:, 3:5]
    angle = np.cumsum(gyro, axis=0) * 5e-4
    turned = np.stack(
        [np.diff(np.interp(stamps - stamps[0], grid - stamps[0], angle[:, k])) for k in (0, 1)],
        axis=1,
    )
    # Turning right moves the scene left; looking down moves it up.
    expected = -FOCAL_PX_448 * turned
    rms = np.sqrt((expected**2).sum(axis=1).mean())
    assert 3 < rms < 12
    assert np.abs(expected).max() < 25
    for axis in (0, 1):
        assert np.corrcoef(measured[:, axis], expected[:, axis])[0, 1] > 0.95
        slope = np.polyfit(expected[:, axis], measured[:, axis], 1)[0]
        assert slope == pytest.approx(1.0, abs=0.06)
    assert np.median(np.abs(measured - expected)) < 0.4


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
