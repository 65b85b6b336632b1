from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy import ndimage

from pipelines.synthetic.picture import make_world, render_frame
from pipelines.video.decode import open_video
from pipelines.video.motion import image_shifts, small_grey
from tests.video_files import write_video


def texture(seed: int = 0) -> npt.NDArray[np.float32]:
    """A large smooth random picture to look at through a moving 90 x 160 window."""
    noise = np.random.default_rng(seed).standard_normal((300, 450))
    smooth: npt.NDArray[np.float32] = ndimage.gaussian_filter(noise, 1.2).astype(np.float32)
    return smooth * 80 + 100


def view(picture: npt.NDArray[np.float32], *, dx: float, dy: float) -> npt.NDArray[np.float32]:
    """The window's content after everything in it moved by dx, dy pixels."""
    rows, columns = np.mgrid[0:90, 0:160].astype(np.float64)
    moved = [rows + 100 - dy, columns + 140 - dx]
    seen: npt.NDArray[np.float32] = ndimage.map_coordinates(picture, moved, order=3)
    return seen


@pytest.mark.parametrize("size", [(90, 160), (360, 640), (448, 448), (101, 333)])
def test_small_grey_is_the_area_mean_of_the_green_channel(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    got = small_grey(frames)
    assert got.shape == (2, 90, 160)
    assert got.dtype == np.float32
    for frame, grey in zip(frames, got, strict=True):
        green = Image.fromarray(frame[..., 1].astype(np.float32))
        oracle = np.asarray(green.resize((160, 90), Image.Resampling.BOX))
        # PIL's box takes whole pixels; ours splits those on an edge, so noise differs where the
        # ratio is no whole number.
        exact = size[0] % 90 == 0 and size[1] % 160 == 0
        assert np.abs(grey - oracle).max() < 1e-2 if exact else np.abs(grey - oracle).mean() < 20


def test_small_grey_splits_pixels_that_lie_on_an_edge() -> None:
    frames = np.random.default_rng(2).integers(0, 256, (1, 135, 240, 3), dtype=np.uint8)
    # Ratio 1.5: each pixel doubled, bins of exactly three.
    doubled = frames[0, ..., 1].repeat(2, axis=0).repeat(2, axis=1).astype(np.float64)
    oracle = doubled.reshape(90, 3, 160, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small_grey(frames)[0], oracle, atol=1e-3)


def test_thinning_large_pictures_keeps_everything_in_its_place() -> None:
    ramp = np.linspace(0, 255, 1920)[None, :] * np.ones((1080, 1))
    frames = np.repeat(ramp.astype(np.uint8)[None, :, :, None], 3, axis=3)
    oracle = ramp.reshape(90, 12, 160, 12).mean(axis=(1, 3))
    assert np.abs(small_grey(frames)[0] - oracle).max() < 1.0


def test_small_grey_of_no_frames_is_empty() -> None:
    assert small_grey(np.zeros((0, 90, 160, 3), dtype=np.uint8)).shape == (0, 90, 160)


def test_small_grey_is_the_same_alone_and_in_company() -> None:
    frames = np.random.default_rng(3).integers(0, 256, (3, 200, 300, 3), dtype=np.uint8)
    together = small_grey(frames)
    alone = np.concatenate([small_grey(frame[None]) for frame in frames])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        pytest.param((1, 89, 160, 3), "at least 90 x 160, got 89 x 160", id="small"),
        pytest.param((1, 90, 160), r"uint8 \(n, H, W, 3\)", id="no_channels"),
    ],
)
def test_small_grey_refuses_other_pictures(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_grey(np.zeros(shape, dtype=np.uint8))


def shift_between(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]
) -> tuple[float, float, float]:
    dx, dy, peak = image_shifts(np.stack([a, b]))[0].tolist()
    return dx, dy, peak


@pytest.mark.parametrize(
    ("dx", "dy"), [(0.0, 0.0), (0.3, -0.4), (0.5, 0.5), (7.25, -3.6), (-20.2, 10.7), (40.0, 0.0)]
)
def test_known_shift_is_found_to_a_fraction_of_a_pixel(dx: float, dy: float) -> None:
    picture = texture()
    found_dx, found_dy, peak = shift_between(view(picture, dx=0, dy=0), view(picture, dx=dx, dy=dy))
    assert found_dx * 160 == pytest.approx(dx, abs=0.12)
    assert found_dy * 90 == pytest.approx(dy, abs=0.12)
    assert 0.3 < peak <= 1.0


def test_pictures_scaled_for_the_encoder_move_as_the_larger_ones_do(tmp_path: Path) -> None:
    world = make_world(5, sub_action=1)
    angles = [np.array([0.02 * np.sin(i), 0.03 * np.cos(i), 0.005 * i]) for i in range(12)]
    planes = [
        render_frame(world, angles=angle, centre_px=(300, 300), size_px=448, index=i)
        for i, angle in enumerate(angles)
    ]
    frames = [av.VideoFrame.from_ndarray(p, format="yuv420p") for p in planes]
    path = write_video(tmp_path / "v.mp4", [f.to_ndarray(format="rgb24") for f in frames])
    for decoder in ("decord", "pyav"):
        reader = open_video(path, decoder=decoder)
        full, small = (
            image_shifts(small_grey(next(reader.read(np.arange(12), short_side=short_side))))
            for short_side in (None, 224)
        )
        assert np.abs(full[:, :2]).max() * 160 > 1
        # A twentieth of a pixel of the small picture; known shifts are found to a tenth.
        assert np.abs((small - full)[:, 0]).max() * 160 < 0.05
        assert np.abs((small - full)[:, 1]).max() * 90 < 0.05
        assert np.abs((small - full)[:, 2]).max() < 0.02


def test_peak_is_low_between_unrelated_pictures() -> None:
    a, b = view(texture(1), dx=0, dy=0), view(texture(2), dx=0, dy=0)
    assert shift_between(a, b)[2] < 0.1
    assert shift_between(a, a)[2] > 0.9


def test_picture_without_texture_has_no_shift_and_no_trust() -> None:
    flat = np.full((90, 160), 117, dtype=np.float32)
    assert shift_between(flat, flat) == (0.0, 0.0, 0.0)


def test_brightness_does_not_move_the_picture() -> None:
    a = view(texture(), dx=0, dy=0)
    b = view(texture(), dx=3, dy=2)
    plain, brighter = shift_between(a, b), shift_between(a, b * 1.3 + 20)
    assert brighter == pytest.approx(plain, abs=1e-4)


def test_many_frames_give_what_each_pair_gives() -> None:
    picture = texture()
    greys = np.stack([view(picture, dx=1.5 * i, dy=-0.7 * i) for i in range(20)])
    together = image_shifts(greys.astype(np.float32))
    assert together.shape == (19, 3)
    for i in range(19):
        assert shift_between(greys[i], greys[i + 1]) == pytest.approx(together[i], abs=1e-5)
    assert together[:, 0] * 160 == pytest.approx(np.full(19, 1.5), abs=0.12)
    assert together[:, 1] * 90 == pytest.approx(np.full(19, -0.7), abs=0.12)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_frames_have_no_shift(n: int) -> None:
    assert image_shifts(np.zeros((n, 90, 160), dtype=np.float32)).shape == (0, 3)


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(n, 90, 160\), got \(2, 80, 160\)"):
        image_shifts(np.zeros((2, 80, 160), dtype=np.float32))
