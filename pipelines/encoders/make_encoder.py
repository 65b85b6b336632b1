"""A CLIP of random weights in transformers' or CLIP4Clip's layout, for runs without a network.

It knows nothing of the world. Yet its random features follow what a picture shows: colours,
textures and where they are; and which words a sentence has. So a pipeline run on it carries
information from end to end, which transformers' own initialisation does not: that one gives
nearly the same vector for every picture.
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from pipelines.encoders.clip4clip_layout import HEAD_WIDTH, from_transformers
from pipelines.encoders.clip_folder import MEANING_FIELD
from pipelines.encoders.quiet import quiet_transformers
from pipelines.encoders.random_seq_transf import make_seq_transf
from pipelines.encoders.tiny_tokenizer import make_tokenizer
from pipelines.storage.files import open_atomic, write_atomic
from pipelines.video.preprocess import CLIP_MEAN, CLIP_STD
from schemas.errors import UsageError

__all__ = ["LAYOUTS", "MEANING", "PRESETS", "Layout", "Preset", "make_encoder"]

Preset = Literal["tiny", "vit-b-32"]
Layout = Literal["transformers", "clip4clip"]

LAYOUTS: Final[tuple[Layout, ...]] = ("transformers", "clip4clip")

MEANING: Final = "random weights, for demonstration: the embeddings carry no meaning"

_IMAGE_SIZE: Final = 224
_PATCH: Final = 32
_MAX_TOKENS: Final = 77
# Chosen on moving textures: frames five seconds apart differ by more than a tenth, so that a mean
# of 50 of them tells a shift of one; looks still group together.
_SMOOTHNESS: Final = 6.0
_MEAN_COLOUR: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    layers: int
    hidden: int
    heads: int
    mlp: int
    text_hidden: int
    text_heads: int
    projection: int
    seq_layers: int


PRESETS: Final[dict[Preset, _Size]] = {
    "tiny": _Size(
        layers=2,
        hidden=96,
        heads=2,
        mlp=128,
        text_hidden=128,
        text_heads=2,
        projection=64,
        seq_layers=2,
    ),
    "vit-b-32": _Size(
        layers=12,
        hidden=768,
        heads=12,
        mlp=3072,
        text_hidden=512,
        text_heads=8,
        projection=512,
        seq_layers=4,
    ),
}


def make_encoder(dest: Path, *, preset: Preset, seed: int, layout: Layout = "transformers") -> None:
    """Write the folder ``dest``: config, weights, tokenizer, preprocessing and a model card.

    The same preset, layout and seed give the same bytes.

    Args:
        dest: folder to make; must not exist, or be empty.
        preset: ``tiny`` (64 values, under a millisecond a frame) or ``vit-b-32``, the size of the
            published CLIP4Clip (512 values).
        seed: of the weights.
        layout: ``transformers``, or ``clip4clip`` for a checkpoint as CLIP4Clip publishes them,
            with the weights of ``seqTransf``. Its heads are 64 wide, so ``tiny`` is a little
            wider there.

    Raises:
        UsageError: if preset or layout is unknown or ``dest`` holds something.
    """
    if preset not in PRESETS:
        raise UsageError(f"preset must be one of {', '.join(PRESETS)}, got {preset}")
    if layout not in LAYOUTS:
        raise UsageError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout}")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise UsageError(f"destination must be an empty or a new folder, got {dest}")
    dest.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    size = PRESETS[preset] if layout == "transformers" else _widen(PRESETS[preset])
    config = _make_config(size, vocab_size=len(tokenizer))
    # Built without values, so no global random state is touched; then every value is set.
    with torch.device("meta"):
        model = CLIPModel(config)
    model = model.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(seed)
    _fill(model, generator=generator, specials=tokenizer.all_special_ids)
    with quiet_transformers():
        tokenizer.save_pretrained(dest)
        if layout == "transformers":
            model.save_pretrained(dest)
            # safetensors keeps its file from other users, who may run the pipeline.
            (dest / "model.safetensors").chmod(0o644)
    if layout == "clip4clip":
        _write_clip4clip(dest, model=model, size=size, generator=generator)
    write_atomic(dest / "preprocessor_config.json", json.dumps(_PREPROCESSING, indent=2).encode())
    write_atomic(dest / "README.md", _card(preset, seed, layout).encode())


_PREPROCESSING: Final = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": _IMAGE_SIZE},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": _IMAGE_SIZE, "width": _IMAGE_SIZE},
    "do_rescale": True,
    "do_normalize": True,
    "image_mean": list(CLIP_MEAN),
    "image_std": list(CLIP_STD),
}


def _make_config(size: _Size, *, vocab_size: int) -> CLIPConfig:
    text = CLIPTextConfig(
        vocab_size=vocab_size,
        hidden_size=size.text_hidden,
        intermediate_size=4 * size.text_hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.text_heads,
        max_position_embeddings=_MAX_TOKENS,
        projection_dim=size.projection,
        bos_token_id=vocab_size - 2,
        eos_token_id=vocab_size - 1,
        pad_token_id=vocab_size - 1,
    )
    vision = CLIPVisionConfig(
        hidden_size=size.hidden,
        intermediate_size=size.mlp,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        image_size=_IMAGE_SIZE,
        patch_size=_PATCH,
        projection_dim=size.projection,
    )
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=size.projection
    )
    setattr(config, MEANING_FIELD, MEANING)
    return config


@torch.no_grad()
def _fill(model: CLIPModel, *, generator: torch.Generator, specials: list[int]) -> None:
    """Set every parameter by its role; see the comments for why not transformers' scales."""
    for name, value in sorted(model.named_parameters()):
        role = name.rsplit(".", 2)[-2] if "." in name else name
        if name.endswith("bias"):
            value.zero_()
        elif "norm" in role or "layrnorm" in role:
            value.fill_(1.0)
        elif name == "logit_scale":
            value.fill_(math.log(1 / 0.07))
        elif name.endswith("class_embedding"):
            # A zero token looks at all patches alike and holds nothing of its own: what it ends
            # with is the picture's content alone.
            value.zero_()
        elif role == "patch_embedding":
            value.copy_(_smooth_kernels(tuple(value.shape), generator=generator))
        elif role == "position_embedding":
            value.normal_(0.0, 0.02 if name.startswith("text_model") else 3.0, generator=generator)
            value[0].zero_()
        elif role == "token_embedding":
            value.normal_(0.0, 1.0, generator=generator)
            value[specials] = 0.0
        elif value.ndim == 2:
            value.normal_(0.0, value.shape[1] ** -0.5, generator=generator)
            if role == "fc2":
                # Activations are positive on average; rows without a mean keep that from adding
                # the same vector to everything.
                value -= value.mean(dim=1, keepdim=True)
        else:
            raise AssertionError(f"parameter without a rule: {name}")


def _widen(size: _Size) -> _Size:
    """Return the size with heads as CLIP4Clip's layout has them: their number is told by width."""
    hidden = -(-size.hidden // HEAD_WIDTH) * HEAD_WIDTH
    return replace(
        size,
        hidden=hidden,
        heads=hidden // HEAD_WIDTH,
        text_heads=size.text_hidden // HEAD_WIDTH,
    )


def _write_clip4clip(
    dest: Path, *, model: CLIPModel, size: _Size, generator: torch.Generator
) -> None:
    head = make_seq_transf(
        size.projection, positions=_MAX_TOKENS, blocks=size.seq_layers, generator=generator
    )
    state = {**from_transformers(model.state_dict()), **head}
    with open_atomic(dest / "pytorch_model.bin") as file:
        torch.save(state, file)
    # A published checkpoint has no such file; here it carries the warning.
    write_atomic(dest / "config.json", json.dumps({MEANING_FIELD: MEANING}, indent=2).encode())


def _smooth_kernels(shape: tuple[int, ...], *, generator: torch.Generator) -> torch.Tensor:
    """Return random kernels (D, 3, P, P) whose power falls with frequency, as in pictures.

    White noise would answer to a shift of one pixel as to another picture. The mean colour is
    turned down: it hardly changes while a camera moves, and would drown what does.
    """
    _, _, patch, _ = shape
    k = torch.arange(patch, dtype=torch.float64)
    basis = torch.cos(math.pi / patch * (k[:, None] + 0.5) * k[None, :])  # (x, frequency)
    basis /= basis.norm(dim=0)
    frequency = torch.sqrt(k[:, None] ** 2 + k[None, :] ** 2)
    amplitude = 1 / (1 + (frequency / _SMOOTHNESS) ** 2)
    amplitude[0, 0] = _MEAN_COLOUR
    spectrum = torch.randn(shape, generator=generator, dtype=torch.float64) * amplitude
    kernels = torch.einsum("xi,dcij,yj->dcxy", basis, spectrum, basis)
    return kernels.to(torch.float32)


def _card(preset: Preset, seed: int, layout: Layout) -> str:
    return f"""---
library_name: transformers
tags: [clip, random-weights]
---
# Random CLIP ({preset}, seed {seed})

**These weights are random. Nothing was learned; the embeddings carry no meaning.**

Use it to try the pipeline without a network, to test it and to measure its speed. Vectors of
pictures differ by colour, texture and layout, vectors of sentences by their words, so data flows
through visibly; nothing beyond that can be read from them, and no result of training on them says
anything about the method. Versions made with it carry this warning.

{_LAYOUT_NOTES[layout]}
"""


_LAYOUT_NOTES: Final[dict[Layout, str]] = {
    "transformers": """\
Layout: `config.json`, `model.safetensors`, `preprocessor_config.json`, `tokenizer.json`; loads as
`CLIPModel`, `CLIPVisionModelWithProjection` and `CLIPTextModelWithProjection`.""",
    "clip4clip": """\
Layout: `pytorch_model.bin`, a state dict with CLIP4Clip's names, `clip.*` for CLIP's weights,
`frame_position_embeddings` and `transformerClip.*` for those of `seqTransf`; CLIP's tokenizer
beside it.""",
}
