"""Random weights of CLIP4Clip's ``seqTransf``, for runs without a network."""

import torch

from pipelines.encoders.clip4clip_layout import block_names
from pipelines.encoders.seq_transf import SEQ_TRANSF_POSITIONS, SEQ_TRANSF_PREFIX

__all__ = ["make_seq_transf"]

_POSITION_SCALE = 0.02


def make_seq_transf(
    width: int, *, positions: int, blocks: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Return weights under CLIP4Clip's names.

    Args:
        width: D, of a frame embedding.
        positions: frames a segment may have at most.
        blocks: of the transformer.
        generator: of the values.
    """
    shapes = {
        "attn.in_proj_weight": (3 * width, width),
        "attn.out_proj.weight": (width, width),
        "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_proj.weight": (width, 4 * width),
    }
    longer = {"attn.in_proj_bias": 3 * width, "mlp.c_fc.bias": 4 * width}
    table = torch.empty(positions, width).normal_(0.0, _POSITION_SCALE, generator=generator)
    weights = {SEQ_TRANSF_POSITIONS: table}
    for name in block_names(SEQ_TRANSF_PREFIX, blocks=blocks):
        layer = name.removeprefix(f"{SEQ_TRANSF_PREFIX}.").partition(".")[2]
        if layer in shapes:
            shape = shapes[layer]
            scale = shape[1] ** -0.5
            weights[name] = torch.empty(shape).normal_(0.0, scale, generator=generator)
        elif layer.endswith("bias"):
            weights[name] = torch.zeros(longer.get(layer, width))
        else:
            weights[name] = torch.ones(width)
    return weights
