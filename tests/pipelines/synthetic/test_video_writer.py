"""Pictures as a decoder gives them: which frame each is, and how the head turned in between."""

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.timecode import decode_timecode
from pipelines.synthetic.truth import FOCAL_PX_448, frame_device_ns, imu_truth
from pipelines.synthetic.video_writer import regular_times, write_video
from tests.image_shift import measure_shift

pytestmark = pytest.mark.slow


def decode(path: Path, *, pixel_format: str) -> list[npt.NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [round(frame.time * 30) for frame in frames] == list(range(len(frames)))
    return [frame.to_ndarray(format=pixel_format) for frame in frames]


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


def test_times_are_one_a_frame(tmp_path: Path) -> None:
    take = plan_dataset(takes=1, seconds=1, seed=8).takes[0]
    seen_ns = frame_device_ns(take)[:3] - take.origin_ns
    with pytest.raises(ValueError, match="times must be one a frame, got 2 for 3"):
        write_video(
            tmp_path / "v.mp4", scene=take, seen_ns=seen_ns, size_px=16, times=regular_times(2)
        )
    assert not (tmp_path / "v.mp4").exists()
