"""A vision tower whose last block is computed for the class token alone.

CLIP reads a picture's embedding at the class token; what the last block makes of the patches goes
nowhere. Their keys and values count, their queries, projections and hidden layer do not: with
twelve blocks a fifteenth of all arithmetic.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["ClassTokenBlock", "read_class_token_alone"]


class ClassTokenBlock(torch.nn.Module):
    """A transformer block that gives the first token alone."""

    def __init__(self, block: Any) -> None:  # noqa: ANN401 - transformers is untyped
        super().__init__()
        self._block = block

    def forward(self, x: torch.Tensor, *_args: object, **_kwargs: object) -> torch.Tensor:
        """Return (B, 1, D) of tokens x (B, L, D); a vision tower has no mask."""
        block, attention = self._block, self._block.self_attn
        tokens = block.layer_norm1(x)
        query, key, value = (
            project(some).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
            for project, some in (
                (attention.q_proj, tokens[:, :1]),
                (attention.k_proj, tokens),
                (attention.v_proj, tokens),
            )
        )
        # One query a head, so one row: (B, heads, 1, width of a head).
        mixed = scaled_dot_product_attention(query, key, value)
        x = x[:, :1] + attention.out_proj(mixed.transpose(1, 2).flatten(2))
        result: torch.Tensor = x + block.mlp(block.layer_norm2(x))
        return result


def read_class_token_alone(tower: Any) -> None:  # noqa: ANN401 - transformers is untyped
    """Replace the last block of a transformers CLIP vision tower in place."""
    blocks = tower.vision_model.encoder.layers
    blocks[-1] = ClassTokenBlock(blocks[-1])
