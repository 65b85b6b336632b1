"""CLIP4Clip's ``seqTransf``: a transformer over a segment's frame embeddings.

Luo et al., CLIP4Clip, 2022, section 3.3, sequential type: position embeddings are added, a
transformer without causal mask mixes the frames, the originals are added again, every frame is
normalised, and their mean is the video's embedding.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import layer_norm, linear

from pipelines.encoders.clip4clip_layout import (
    block_names,
    count_blocks,
    require_names,
    split_heads,
)
from pipelines.encoders.torch_threads import one_torch_thread
from schemas.errors import UsageError

__all__ = ["SEQ_TRANSF_POSITIONS", "SEQ_TRANSF_PREFIX", "SeqTransf", "read_seq_transf"]

SEQ_TRANSF_POSITIONS: Final = "frame_position_embeddings.weight"
SEQ_TRANSF_PREFIX: Final = "transformerClip.resblocks"

# CLIP4Clip's own layer norm in this transformer; inside CLIP it is 1e-5.
_EPSILON: Final = 1e-12


class SeqTransf:
    """The transformer, frozen, in float32 on the CPU.

    A segment goes through alone, on one torch thread: its bits depend on its own frames, not on
    its neighbours or on how many threads the process has.

    Attributes:
        sha256: of the weights, by name and shape, hex.
        positions: frames a segment may have at most.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], *, blocks: int, heads: int) -> None:
        self._weights = {
            # A copy: nothing rests on the file once this is read.
            name: value.to(torch.float32, copy=True).contiguous()
            for name, value in weights.items()
        }
        self._blocks = blocks
        self._heads = heads
        self.sha256 = _digest(self._weights)
        self.positions = len(self._weights[SEQ_TRANSF_POSITIONS])

    def __call__(self, frames: npt.NDArray[np.float16], /) -> npt.NDArray[np.float64]:
        """Return the embedding (D,), of length up to one, of frames (F, D) in time order.

        Raises:
            UsageError: if there are more frames than positions.
        """
        if len(frames) > self.positions:
            raise UsageError(
                f"encoder.pooling seqTransf takes at most {self.positions} frames a segment, "
                f"got {len(frames)}"
            )
        with one_torch_thread(), torch.inference_mode():
            x = torch.from_numpy(frames.astype(np.float32))
            mixed = x + self._transform(x + self._weights[SEQ_TRANSF_POSITIONS][: len(x)])
            rows: npt.NDArray[np.float64] = mixed.numpy().astype(np.float64)
        # What has no direction becomes NaN here and is refused where the result is normalised.
        with np.errstate(invalid="ignore"):
            unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        pooled: npt.NDArray[np.float64] = unit.mean(axis=0)
        return pooled

    def _transform(self, x: torch.Tensor) -> torch.Tensor:  # x: (F, D)
        for i in range(self._blocks):
            x = x + self._attend(self._norm(x, f"{i}.ln_1"), i)
            hidden = self._linear(self._norm(x, f"{i}.ln_2"), f"{i}.mlp.c_fc")
            x = x + self._linear(hidden * torch.sigmoid(1.702 * hidden), f"{i}.mlp.c_proj")
        return x

    def _attend(self, x: torch.Tensor, i: int) -> torch.Tensor:  # x: (F, D)
        name = f"{SEQ_TRANSF_PREFIX}.{i}.attn.in_proj"
        joint = linear(x, self._weights[f"{name}_weight"], self._weights[f"{name}_bias"])
        # (F, 3 D) to three of (heads, F, D / heads)
        query, key, value = joint.view(len(x), 3, self._heads, -1).permute(1, 2, 0, 3)
        scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
        mixed = (scores.softmax(dim=-1) @ value).transpose(0, 1).reshape(x.shape)
        return self._linear(mixed, f"{i}.attn.out_proj")

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self._pair(name)
        return layer_norm(x, weight.shape, weight, bias, _EPSILON)

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return linear(x, *self._pair(name))

    def _pair(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        full = f"{SEQ_TRANSF_PREFIX}.{name}"
        return self._weights[f"{full}.weight"], self._weights[f"{full}.bias"]


def read_seq_transf(state: Mapping[str, torch.Tensor], *, dim: int, path: Path) -> SeqTransf:
    """Return a CLIP4Clip checkpoint's ``seqTransf`` of frame embeddings with ``dim`` values.

    Raises:
        UsageError: if the checkpoint has none, or one of another width.
    """
    if SEQ_TRANSF_POSITIONS not in state or not count_blocks(state, SEQ_TRANSF_PREFIX):
        raise UsageError(
            "encoder.pooling seqTransf needs a CLIP4Clip checkpoint that holds "
            f"{SEQ_TRANSF_POSITIONS} and {SEQ_TRANSF_PREFIX}, got one without [{path}]"
        )
    blocks = count_blocks(state, SEQ_TRANSF_PREFIX)
    wanted = [SEQ_TRANSF_POSITIONS, *block_names(SEQ_TRANSF_PREFIX, blocks=blocks)]
    require_names(state, wanted, path=path)
    weights = {name: state[name] for name in wanted}
    hidden = len(state[f"{SEQ_TRANSF_PREFIX}.0.mlp.c_fc.weight"])
    shapes = {
        "attn.in_proj_weight": (3 * dim, dim),
        "attn.in_proj_bias": (3 * dim,),
        "mlp.c_fc.weight": (hidden, dim),
        "mlp.c_fc.bias": (hidden,),
        "mlp.c_proj.weight": (dim, hidden),
        "attn.out_proj.weight": (dim, dim),
    }
    for name, value in weights.items():
        layer = name.removeprefix(f"{SEQ_TRANSF_PREFIX}.").partition(".")[2]
        shape = shapes.get(layer, (dim,))
        if name == SEQ_TRANSF_POSITIONS:
            shape = (len(value), dim)
        if tuple(value.shape) != shape:
            raise UsageError(
                f"{name} must have shape {shape}, as frame embeddings have {dim} values, "
                f"got {tuple(value.shape)} [{path}]"
            )
    return SeqTransf(weights, blocks=blocks, heads=split_heads(dim, path=path))


def _digest(weights: Mapping[str, torch.Tensor]) -> str:
    digest = sha256()
    for name in sorted(weights):
        value = weights[name]
        digest.update(f"{name}\0{list(value.shape)}\0".encode())
        digest.update(value.numpy().astype("<f4").tobytes())
    return digest.hexdigest()
