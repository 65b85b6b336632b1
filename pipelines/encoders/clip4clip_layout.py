"""CLIP4Clip's published checkpoint layout, told from its names and shapes and mapped both ways.

A checkpoint is one state dict: CLIP's weights under ``clip.`` with the names OpenAI gave them,
and the weights of the video head, of which ``seqTransf`` (Luo et al., CLIP4Clip, 2022, section
3.3) is one. Shapes tell every size but the number of heads, which is the width over 64.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import count
from math import isqrt
from pathlib import Path
from typing import Final

import torch
from transformers import CLIPTextConfig, CLIPVisionConfig

from schemas.errors import UsageError

__all__ = [
    "HEAD_WIDTH",
    "block_names",
    "count_blocks",
    "from_transformers",
    "is_clip4clip",
    "require_names",
    "split_heads",
    "text_config",
    "to_transformers",
    "vision_config",
]

HEAD_WIDTH: Final = 64
"""Width of an attention head in every CLIP of OpenAI's."""

_VISION: Final = "clip.visual.transformer.resblocks"
_TEXT: Final = "clip.transformer.resblocks"
_BLOCKS: Final = {_VISION: "vision_model.encoder.layers", _TEXT: "text_model.encoder.layers"}
_IN_BLOCK: Final = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "ln_2": "layer_norm2",
}
_OUTSIDE: Final = {
    "clip.visual.class_embedding": "vision_model.embeddings.class_embedding",
    "clip.visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "clip.visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    # The spelling is transformers' own.
    "clip.visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "clip.visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "clip.visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "clip.visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "clip.visual.proj": "visual_projection.weight",
    "clip.token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "clip.positional_embedding": "text_model.embeddings.position_embedding.weight",
    "clip.ln_final.weight": "text_model.final_layer_norm.weight",
    "clip.ln_final.bias": "text_model.final_layer_norm.bias",
    "clip.text_projection": "text_projection.weight",
}
# OpenAI multiplies from the left: x @ W, where a linear layer holds W transposed.
_TRANSPOSED: Final = frozenset({"clip.visual.proj", "clip.text_projection"})


def is_clip4clip(names: Collection[str]) -> bool:
    """Return whether a weight file's names are those of CLIP4Clip's layout."""
    return any(name.startswith("clip.visual.") for name in names)


def block_names(prefix: str, *, blocks: int) -> Iterator[str]:
    """Yield the weight names of OpenAI's transformer under ``prefix``."""
    for i in range(blocks):
        yield from (f"{prefix}.{i}.attn.in_proj_{kind}" for kind in ("weight", "bias"))
        for layer in _IN_BLOCK:
            yield from (f"{prefix}.{i}.{layer}.{kind}" for kind in ("weight", "bias"))


def count_blocks(names: Collection[str], prefix: str) -> int:
    """Return how many blocks stand under ``prefix``, up to the first of which nothing is there."""
    return next(i for i in count() if not any(name.startswith(f"{prefix}.{i}.") for name in names))


def require_names(names: Collection[str], wanted: Collection[str], *, path: Path) -> None:
    """Refuse a checkpoint that lacks any of the ``wanted`` names.

    Raises:
        UsageError: with their number and the first of them.
    """
    if missing := sorted(set(wanted) - set(names)):
        raise UsageError(
            f"encoder weights must be complete, {len(missing)} are not, such as {missing[0]} "
            f"[{path}]"
        )


def split_heads(width: int, *, path: Path) -> int:
    """Return the number of attention heads of a transformer ``width`` wide.

    Raises:
        UsageError: if the width is no multiple of a head's.
    """
    if width % HEAD_WIDTH:
        raise UsageError(
            f"encoder width must be a multiple of {HEAD_WIDTH} in CLIP4Clip's layout, got {width} "
            f"[{path}]"
        )
    return width // HEAD_WIDTH


def vision_config(state: Mapping[str, torch.Tensor], *, path: Path) -> CLIPVisionConfig:
    """Return the vision tower's sizes.

    Raises:
        UsageError: if weights are missing, or the tower is another than CLIP4Clip's 2-D one.
    """
    if "clip.visual.conv2.weight" in state:
        raise UsageError(
            "CLIP4Clip's patches must be 2-D, so that a frame's embedding is its own, got 3-D "
            f"patches (clip.visual.conv2.weight) [{path}]"
        )
    _require_clip(state, path=path)
    width, _, _, patch = state["clip.visual.conv1.weight"].shape
    patches = len(state["clip.visual.positional_embedding"]) - 1
    if isqrt(patches) ** 2 != patches:
        raise UsageError(
            "clip.visual.positional_embedding must hold a square of patches and one row more, "
            f"got {patches + 1} rows [{path}]"
        )
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=len(state[f"{_VISION}.0.mlp.c_fc.weight"]),
        num_hidden_layers=count_blocks(state, _VISION),
        num_attention_heads=split_heads(width, path=path),
        image_size=patch * isqrt(patches),
        patch_size=patch,
        projection_dim=state["clip.visual.proj"].shape[1],
        hidden_act="quick_gelu",
        layer_norm_eps=1e-5,
    )


def text_config(state: Mapping[str, torch.Tensor], *, path: Path) -> CLIPTextConfig:
    """Return the text tower's sizes.

    OpenAI reads a sentence off its highest token, which is the last of the vocabulary; the
    config names that one, for transformers' default is the published vocabulary's.

    Raises:
        UsageError: if weights are missing.
    """
    _require_clip(state, path=path)
    vocabulary, width = state["clip.token_embedding.weight"].shape
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=len(state[f"{_TEXT}.0.mlp.c_fc.weight"]),
        num_hidden_layers=count_blocks(state, _TEXT),
        num_attention_heads=split_heads(width, path=path),
        max_position_embeddings=len(state["clip.positional_embedding"]),
        projection_dim=state["clip.text_projection"].shape[1],
        hidden_act="quick_gelu",
        layer_norm_eps=1e-5,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )


def to_transformers(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return both towers' weights in float32 under transformers' names; all else is left out."""
    found: dict[str, torch.Tensor] = {}
    for theirs, ours in _OUTSIDE.items():
        value = state[theirs]
        found[ours] = value.T if theirs in _TRANSPOSED else value
    for theirs, ours in _BLOCKS.items():
        for i in range(count_blocks(state, theirs)):
            for kind in ("weight", "bias"):
                parts = state[f"{theirs}.{i}.attn.in_proj_{kind}"].chunk(3)
                for letter, part in zip("qkv", parts, strict=True):
                    found[f"{ours}.{i}.self_attn.{letter}_proj.{kind}"] = part
                for layer, name in _IN_BLOCK.items():
                    found[f"{ours}.{i}.{name}.{kind}"] = state[f"{theirs}.{i}.{layer}.{kind}"]
    # Copies: nothing rests on a mapped file once it is read.
    return {n: value.to(torch.float32, copy=True).contiguous() for n, value in found.items()}


def from_transformers(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return both towers' weights of a CLIP under CLIP4Clip's names."""
    found: dict[str, torch.Tensor] = {}
    for theirs, ours in _OUTSIDE.items():
        found[theirs] = state[ours].T if theirs in _TRANSPOSED else state[ours]
    for theirs, ours in _BLOCKS.items():
        for i in range(count_blocks(state, ours)):
            for kind in ("weight", "bias"):
                parts = [state[f"{ours}.{i}.self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
                found[f"{theirs}.{i}.attn.in_proj_{kind}"] = torch.cat(parts)
                for layer, name in _IN_BLOCK.items():
                    found[f"{theirs}.{i}.{layer}.{kind}"] = state[f"{ours}.{i}.{name}.{kind}"]
    found["clip.logit_scale"] = state["logit_scale"]
    return {name: value.contiguous() for name, value in found.items()}


def _require_clip(state: Mapping[str, torch.Tensor], *, path: Path) -> None:
    wanted = [*_OUTSIDE]
    for prefix in _BLOCKS:
        wanted.extend(block_names(prefix, blocks=max(1, count_blocks(state, prefix))))
    require_names(state, wanted, path=path)
