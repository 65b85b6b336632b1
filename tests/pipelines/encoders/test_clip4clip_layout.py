"""CLIP4Clip's published layout against OpenAI's architecture and against transformers' classes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

from pipelines.config import EncoderConfig
from pipelines.encoders.clip4clip import open_clip4clip
from pipelines.encoders.clip4clip_layout import from_transformers, to_transformers
from pipelines.encoders.make_encoder import make_encoder
from pipelines.video.preprocess import preprocess_frames
from schemas.errors import UsageError
from tests.pipelines.encoders.openai_clip import (
    DIM,
    IMAGE,
    TOKENS,
    Clip4Clip,
    make_model,
    write_checkpoint,
)

TEXTS = ["picks up the knife", "", "pours water into the bowl with both hands", "the cup " * 40]
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model() -> Clip4Clip:
    return make_model()


@pytest.fixture(scope="module")
def folder(model: Clip4Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("models") / "msrvtt", model)


def make_frames(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, 70, 90, 3), dtype=np.uint8)


def relative_error(found: npt.NDArray[np.float32], expected: torch.Tensor) -> float:
    wanted = expected.numpy()
    return float((np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)).max())


def padded_ids(folder: Path, texts: list[str]) -> torch.Tensor:
    """Return ids as CLIP4Clip pads them: zeros after the end token."""
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    ids = torch.zeros(len(texts), TOKENS, dtype=torch.int64)
    for i, text in enumerate(texts):
        row = tokenizer(text)["input_ids"]
        if len(row) > TOKENS:
            row = [*row[: TOKENS - 1], tokenizer.eos_token_id]
        ids[i, : len(row)] = torch.tensor(row)
    return ids


def test_vectors_are_those_of_openais_architecture(model: Clip4Clip, folder: Path) -> None:
    encoder = open_clip4clip(EncoderConfig(name=str(folder), batch_size=3, precision="float32"))
    spec = encoder.spec
    assert (spec.video_dim, spec.text_dim, spec.image_size, spec.max_tokens) == (64, 64, 64, 24)
    assert (spec.name, spec.revision, spec.meaning) == ("msrvtt", None, None)
    assert (spec.pooling, spec.pooling_sha256) == ("mean", None)
    frames = make_frames(5)
    with torch.no_grad():
        expected = model.clip.visual(preprocess_frames(frames, image_size=IMAGE))
        sentences = model.clip.encode_text(padded_ids(folder, TEXTS))
    assert relative_error(encoder.encode_frames(frames), expected) < 1e-5
    assert relative_error(encoder.encode_texts(TEXTS), sentences) < 1e-5


def test_vectors_are_those_of_transformers_with_the_same_weights(
    tmp_path: Path,
) -> None:
    make_encoder(tmp_path / "plain", preset="tiny", seed=3, layout="clip4clip")
    encoder = open_clip4clip(
        EncoderConfig(name=str(tmp_path / "plain"), batch_size=4, precision="float32")
    )
    vision = CLIPVisionModelWithProjection(encoder._vision.config).eval()
    text = CLIPTextModelWithProjection(encoder._text.config).eval()
    state = torch.load(tmp_path / "plain" / "pytorch_model.bin", weights_only=True)
    copy_by_hand(state, vision, text)
    frames = make_frames(3)
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "plain")
    with torch.no_grad():
        pixels = preprocess_frames(frames, image_size=224)
        assert relative_error(encoder.encode_frames(frames), vision(pixels).image_embeds) < 1e-5
        for sentence in TEXTS[:3]:
            ids = tokenizer(sentence, return_tensors="pt")["input_ids"]
            expected = text(input_ids=ids).text_embeds
            assert relative_error(encoder.encode_texts([sentence]), expected) < 1e-5


@torch.no_grad()
def copy_by_hand(
    state: State, vision: CLIPVisionModelWithProjection, text: CLIPTextModelWithProjection
) -> None:
    """Copy a checkpoint into transformers' modules attribute by attribute."""
    inside = vision.vision_model
    inside.embeddings.class_embedding.copy_(state["clip.visual.class_embedding"])
    inside.embeddings.patch_embedding.weight.copy_(state["clip.visual.conv1.weight"])
    inside.embeddings.position_embedding.weight.copy_(state["clip.visual.positional_embedding"])
    vision.visual_projection.weight.copy_(state["clip.visual.proj"].T)
    words = text.text_model
    words.embeddings.token_embedding.weight.copy_(state["clip.token_embedding.weight"])
    words.embeddings.position_embedding.weight.copy_(state["clip.positional_embedding"])
    text.text_projection.weight.copy_(state["clip.text_projection"].T)
    pairs = [
        (inside.pre_layrnorm, "clip.visual.ln_pre"),
        (inside.post_layernorm, "clip.visual.ln_post"),
        (words.final_layer_norm, "clip.ln_final"),
    ]
    for layers, prefix in (
        (inside.encoder.layers, "clip.visual.transformer.resblocks"),
        (words.encoder.layers, "clip.transformer.resblocks"),
    ):
        for i, layer in enumerate(layers):
            width = layer.self_attn.q_proj.weight.shape[0]
            for place, name in enumerate(("q_proj", "k_proj", "v_proj")):
                rows = slice(place * width, (place + 1) * width)
                part = getattr(layer.self_attn, name)
                part.weight.copy_(state[f"{prefix}.{i}.attn.in_proj_weight"][rows])
                part.bias.copy_(state[f"{prefix}.{i}.attn.in_proj_bias"][rows])
            pairs += [
                (layer.self_attn.out_proj, f"{prefix}.{i}.attn.out_proj"),
                (layer.layer_norm1, f"{prefix}.{i}.ln_1"),
                (layer.layer_norm2, f"{prefix}.{i}.ln_2"),
                (layer.mlp.fc1, f"{prefix}.{i}.mlp.c_fc"),
                (layer.mlp.fc2, f"{prefix}.{i}.mlp.c_proj"),
            ]
    for module, name in pairs:
        module.weight.copy_(state[f"{name}.weight"])
        module.bias.copy_(state[f"{name}.bias"])


def test_names_go_there_and_back(model: Clip4Clip) -> None:
    state = {k: v for k, v in model.state_dict().items() if k.startswith("clip.")}
    ours = {**to_transformers(state), "logit_scale": state["clip.logit_scale"]}
    again = from_transformers(ours)
    assert set(again) == set(state)
    assert all(torch.equal(again[name], value) for name, value in state.items())


def test_a_file_stands_for_its_folder(folder: Path, model: Clip4Clip, tmp_path: Path) -> None:
    by_folder = open_clip4clip(EncoderConfig(name=str(folder))).spec
    by_file = open_clip4clip(EncoderConfig(name=str(folder / "pytorch_model.bin"))).spec
    assert by_file == by_folder
    # Training leaves a file an epoch; none of them is what the folder's name stands for.
    write_checkpoint(tmp_path, model, name="pytorch_model.bin.3")
    with pytest.raises(UsageError, match=r"must hold model\.safetensors or pytorch_model\.bin"):
        open_clip4clip(EncoderConfig(name=str(tmp_path)))
    epoch = open_clip4clip(EncoderConfig(name=str(tmp_path / "pytorch_model.bin.3"))).spec
    assert epoch.weights_sha256 != by_folder.weights_sha256


def test_half_weights_and_safetensors_are_read(model: Clip4Clip, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "half", model, half=True)
    rounded = {name: value.half() for name, value in model.state_dict().items()}
    (tmp_path / "safe").mkdir()
    write_checkpoint(tmp_path / "safe", model)
    (tmp_path / "safe" / "pytorch_model.bin").unlink()
    save_file(rounded, tmp_path / "safe" / "model.safetensors")
    frames = make_frames(2)
    half, safe = (
        open_clip4clip(EncoderConfig(name=str(tmp_path / name), precision="float32")).encode_frames(
            frames
        )
        for name in ("half", "safe")
    )
    np.testing.assert_array_equal(half, safe)
    exact = make_model()
    exact.load_state_dict({name: value.float() for name, value in rounded.items()})
    with torch.no_grad():
        expected = exact.clip.visual(preprocess_frames(frames, image_size=IMAGE))
    assert relative_error(half, expected) < 1e-5


def without(name: str) -> Callable[[State], None]:
    def change(state: State) -> None:
        del state[name]

    return change


def replaced(name: str, *shape: int) -> Callable[[State], None]:
    return lambda state: state.update({name: torch.zeros(shape)})


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            without("clip.visual.transformer.resblocks.1.ln_2.bias"),
            r"1 are not, such as clip\.visual\.transformer\.resblocks\.1\.ln_2\.bias",
        ),
        (without("clip.text_projection"), r"1 are not, such as clip\.text_projection"),
        (without("clip.visual.conv1.weight"), r"1 are not, such as clip\.visual\.conv1\.weight"),
        (
            replaced("clip.visual.conv2.weight", 128, 3, 3, 32, 32),
            r"patches must be 2-D, .*, got 3-D",
        ),
        (
            replaced("clip.visual.conv1.weight", 130, 3, 32, 32),
            "width must be a multiple of 64 .*, got 130",
        ),
        (
            replaced("clip.visual.positional_embedding", 6, 128),
            "a square of patches and one row more, got 6 rows",
        ),
        (
            replaced("clip.visual.ln_pre.bias", 3),
            r"pre_layrnorm\.bias must have shape \(128,\), got \(3,\)",
        ),
    ],
)
def test_damaged_checkpoints_are_refused(
    change: Callable[[State], None], match: str, folder: Path, tmp_path: Path
) -> None:
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    change(state)
    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match=match):
        open_clip4clip(EncoderConfig(name=str(tmp_path)))


def test_missing_and_foreign_tokenizers_are_refused(folder: Path, tmp_path: Path) -> None:
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"needs its tokenizer beside it: .*bpe_simple_vocab"):
        open_clip4clip(EncoderConfig(name=str(tmp_path)))
    words = state["clip.token_embedding.weight"]
    state["clip.token_embedding.weight"] = torch.cat([words, torch.zeros(5, words.shape[1])])
    torch.save(state, tmp_path / "pytorch_model.bin")
    for path in folder.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    last = len(words) - 1
    with pytest.raises(UsageError, match=rf"end token is the last .*, {last + 5}, got {last} "):
        open_clip4clip(EncoderConfig(name=str(tmp_path)))


def test_dimensions_come_from_the_shapes(folder: Path) -> None:
    encoder = open_clip4clip(EncoderConfig(name=str(folder)))
    vision, text = encoder._vision.config, encoder._text.config
    assert (vision.num_attention_heads, vision.num_hidden_layers, vision.patch_size) == (2, 2, 32)
    assert (text.num_attention_heads, text.num_hidden_layers, text.projection_dim) == (1, 3, DIM)
    assert text.eos_token_id == text.vocab_size - 1
