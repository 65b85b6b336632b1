from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pipelines.config import EncoderConfig
from pipelines.encoders.clip4clip import Clip4ClipEncoder, open_clip4clip
from pipelines.encoders.make_encoder import MEANING, make_encoder
from schemas.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    make_encoder(path, preset="tiny", seed=5)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Clip4ClipEncoder:
    return open_clip4clip(EncoderConfig(name=str(folder), batch_size=8))


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def cosines(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    unit = [x.astype(np.float64) / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b)]
    result: npt.NDArray[np.float64] = unit[0] @ unit[1].T
    return result


def make_look(seed: int, *, cell: int, top: int = 0, left: int = 0) -> npt.NDArray[np.uint8]:
    """Cut 256 pixels square from a mosaic of three random colours."""
    rng = np.random.default_rng(seed)
    palette = rng.integers(0, 256, (3, 3)).astype(np.uint8)
    mosaic = palette[rng.integers(0, 3, (512 // cell, 512 // cell))]
    picture = np.kron(mosaic, np.ones((cell, cell, 1), np.uint8))
    return picture[top : top + 256, left : left + 256]


def test_same_seed_same_bytes_and_no_global_randomness(folder: Path, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    make_encoder(tmp_path / "again", preset="tiny", seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert files_of(tmp_path / "again") == files_of(folder)
    make_encoder(tmp_path / "other", preset="tiny", seed=6)
    other = files_of(tmp_path / "other")
    assert other["model.safetensors"] != files_of(folder)["model.safetensors"]
    assert other["tokenizer.json"] == files_of(folder)["tokenizer.json"]


def test_folder_says_it_has_no_meaning(folder: Path, encoder: Clip4ClipEncoder) -> None:
    assert "random" in MEANING
    assert encoder.spec.meaning == MEANING
    card = (folder / "README.md").read_text()
    assert "These weights are random" in card
    assert "carry no meaning" in card


def test_layout(folder: Path, encoder: Clip4ClipEncoder) -> None:
    assert set(files_of(folder)) == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    spec = encoder.spec
    assert (spec.name, spec.revision) == ("tiny", None)
    assert (spec.video_dim, spec.text_dim, spec.image_size, spec.max_tokens) == (64, 64, 224, 77)


def test_different_looks_lie_apart_and_one_look_moved_stays_near(encoder: Clip4ClipEncoder) -> None:
    looks = [(seed, cell) for seed, cell in enumerate([8, 16, 32] * 4)]
    plain = encoder.encode_frames(np.stack([make_look(s, cell=c) for s, c in looks]))
    nudged = encoder.encode_frames(
        np.stack([make_look(s, cell=c, top=2, left=1) for s, c in looks])
    )
    moved = encoder.encode_frames(
        np.stack([make_look(s, cell=c, top=96, left=160) for s, c in looks])
    )
    between = cosines(plain, plain)[~np.eye(len(looks), dtype=bool)]
    assert between.mean() < 0.4
    assert np.diag(cosines(plain, nudged)).min() > 0.65
    # The same look elsewhere in the picture is nearer than other looks.
    same = np.diag(cosines(plain, moved))
    assert same.mean() > between.mean() + 0.3
    assert same.min() > np.median(between)


def test_unrelated_textures_of_equal_colours_differ(encoder: Clip4ClipEncoder) -> None:
    rng = np.random.default_rng(1)
    cells = rng.integers(0, 256, (8, 14, 14, 3), dtype=np.uint8)
    pictures = np.kron(cells, np.ones((1, 16, 16, 1), np.uint8))
    between = cosines(*[encoder.encode_frames(pictures)] * 2)[~np.eye(8, dtype=bool)]
    assert between.mean() < 0.85
    assert between.max() < 0.97


def test_sentences_that_share_words_are_nearer(encoder: Clip4ClipEncoder) -> None:
    texts: Sequence[str] = [
        "picks up the knife with his right hand",
        "picks up the spoon with his right hand",
        "bounces the ball on the floor",
        "strums the guitar",
    ]
    found = cosines(*[encoder.encode_texts(texts)] * 2)
    assert found[0, 1] > 0.75
    assert np.abs(found[0, 2:]).max() < 0.6
    assert abs(found[2, 3]) < 0.6


def test_unknown_words_are_spelled_and_common_ones_whole(encoder: Clip4ClipEncoder) -> None:
    # Start and end, and one token a word.
    assert encoder.count_tokens(["picks up the knife", "", "the  KNIFE"]) == [6, 2, 4]
    assert encoder.count_tokens(["xylograph"])[0] > 5
    a, b = encoder.encode_texts(["zq é", "zq è"])
    assert not np.array_equal(a, b)


@pytest.mark.slow
def test_vit_b_32_has_the_published_shape(tmp_path: Path) -> None:
    make_encoder(tmp_path / "big", preset="vit-b-32", seed=0)
    encoder = open_clip4clip(EncoderConfig(name=str(tmp_path / "big"), batch_size=2))
    assert (encoder.spec.video_dim, encoder.spec.text_dim) == (512, 512)
    frames = np.stack([make_look(0, cell=16), make_look(1, cell=16)])
    video = encoder.encode_frames(frames)
    assert video.shape == (2, 512)
    assert np.isfinite(video).all()
    assert cosines(video, video)[0, 1] < 0.8


def test_clip4clips_layout(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_encoder(tmp_path / name, preset="tiny", seed=5, layout="clip4clip")
    files = files_of(tmp_path / "a")
    assert files == files_of(tmp_path / "b")
    assert set(files) == {
        "README.md",
        "config.json",
        "preprocessor_config.json",
        "pytorch_model.bin",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert b"These weights are random" in files["README.md"]
    assert b"pytorch_model.bin" in files["README.md"]
    state = torch.load(tmp_path / "a" / "pytorch_model.bin", weights_only=True)
    assert state["clip.visual.conv1.weight"].shape == (128, 3, 32, 32)
    assert state["frame_position_embeddings.weight"].shape == (77, 64)
    encoder = open_clip4clip(EncoderConfig(name=str(tmp_path / "a"), batch_size=8))
    assert encoder.spec.meaning == MEANING
    looks = np.stack([make_look(seed, cell=cell) for seed, cell in enumerate([8, 16, 32] * 4)])
    between = cosines(*[encoder.encode_frames(looks)] * 2)[~np.eye(len(looks), dtype=bool)]
    assert between.mean() < 0.4


def test_unknown_preset_and_full_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="preset must be one of tiny, vit-b-32, got huge"):
        make_encoder(tmp_path / "x", preset="huge", seed=0)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="layout must be one of transformers, clip4clip, got x"):
        make_encoder(tmp_path / "x", preset="tiny", seed=0, layout="x")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="destination must be an empty or a new folder"):
        make_encoder(folder, preset="tiny", seed=0)
