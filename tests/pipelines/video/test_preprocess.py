import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from pipelines.video.preprocess import CLIP_STD, crop_frames, preprocess_frames


def make_texture(height: int, width: int, *, seed: int = 0) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (2, height // 4 + 1, width // 4 + 1, 3))
    blocks = np.kron(cells, np.ones((1, 4, 4, 1), np.int64))[:, :height, :width]
    noisy = blocks + rng.integers(-20, 21, blocks.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


SIZES = [(448, 448), (640, 640), (270, 481), (481, 270), (180, 321), (224, 224), (225, 300)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pixels_are_those_of_pil_to_one_level(height: int, width: int) -> None:
    frames = make_texture(height, width)
    short = min(height, width)
    size = (int(224 * width / short), int(224 * height / short))
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    expected = np.stack(
        [
            np.asarray(
                Image.fromarray(f)
                .resize(size, Image.Resampling.BICUBIC)
                .crop((left, top, left + 224, top + 224))
            )
            for f in frames
        ]
    )
    ours = crop_frames(frames, image_size=224).permute(0, 2, 3, 1).numpy()
    error = np.abs(ours.astype(int) - expected)
    assert error.max() <= 1
    assert (error > 0).mean() < 0.008


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_tensors_are_those_of_transformers(height: int, width: int) -> None:
    frames = make_texture(height, width)
    expected = CLIPImageProcessorPil()(list(frames), return_tensors="pt")["pixel_values"]
    ours = preprocess_frames(frames, image_size=224)
    assert (ours.dtype, tuple(ours.shape)) == (torch.float32, (2, 3, 224, 224))
    one_level = 1 / 255 / min(CLIP_STD)
    assert float((ours - expected).abs().max()) <= one_level * 1.001
    assert float((ours - expected).abs().mean()) < 0.008 * one_level


def test_frame_alone_equals_frame_among_others() -> None:
    frames = np.concatenate([make_texture(270, 480, seed=s) for s in range(4)])
    together = preprocess_frames(frames, image_size=224)
    alone = torch.cat([preprocess_frames(f[None], image_size=224) for f in frames])
    assert torch.equal(together, alone)


def test_plain_colour_is_normalised_by_channel() -> None:
    frames = np.full((1, 300, 400, 3), (255, 0, 128), dtype=np.uint8)
    ours = preprocess_frames(frames, image_size=8)
    assert tuple(ours.shape) == (1, 3, 8, 8)
    expected = [(1 - 0.48145466) / 0.26862954, -0.4578275 / 0.26130258]
    expected.append((128 / 255 - 0.40821073) / 0.27577711)
    np.testing.assert_allclose(ours[0, :, 4, 4].numpy(), expected, rtol=1e-6)


def test_read_only_frames_are_accepted_and_left_alone() -> None:
    frames = make_texture(224, 224)
    before = frames.copy()
    frames.flags.writeable = False
    preprocess_frames(frames, image_size=224)
    np.testing.assert_array_equal(frames, before)
