"""OpenAI's CLIP and CLIP4Clip's video head after their papers, to hold ours against.

Modules are named so that a checkpoint in the published layout loads with ``strict=True``.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from pipelines.encoders.tiny_tokenizer import make_tokenizer

IMAGE, PATCH, VISION, TEXT, DIM, TOKENS = 64, 32, 128, 64, 64, 24


class QuickGelu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / (1 + torch.exp(-1.702 * x))


class Block(nn.Module):
    def __init__(self, width: int, *, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64, batch_first=True)
        self.ln_1 = nn.LayerNorm(width, eps=epsilon)
        self.ln_2 = nn.LayerNorm(width, eps=epsilon)
        self.mlp = nn.Sequential(
            OrderedDict(
                c_fc=nn.Linear(width, 4 * width),
                gelu=QuickGelu(),
                c_proj=nn.Linear(4 * width, width),
            )
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        seen = self.ln_1(x)
        x = x + self.attn(seen, seen, seen, need_weights=True, attn_mask=mask)[0]
        mixed: torch.Tensor = x + self.mlp(self.ln_2(x))
        return mixed


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int, *, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, epsilon=epsilon) for _ in range(layers))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        for block in self.resblocks:
            x = block(x, mask)
        return x


class Visual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, VISION, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(VISION))
        self.positional_embedding = nn.Parameter(torch.empty((IMAGE // PATCH) ** 2 + 1, VISION))
        self.ln_pre = nn.LayerNorm(VISION)
        self.transformer = Transformer(VISION, 2)
        self.ln_post = nn.LayerNorm(VISION)
        self.proj = nn.Parameter(torch.empty(VISION, DIM))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(pixels), 1, VISION)
        x = self.ln_pre(torch.cat([first, patches], dim=1) + self.positional_embedding)
        out: torch.Tensor = self.ln_post(self.transformer(x)[:, 0]) @ self.proj
        return out


class Clip(nn.Module):
    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.visual = Visual()
        self.transformer = Transformer(TEXT, 3)
        self.token_embedding = nn.Embedding(vocabulary, TEXT)
        self.positional_embedding = nn.Parameter(torch.empty(TOKENS, TEXT))
        self.ln_final = nn.LayerNorm(TEXT)
        self.text_projection = nn.Parameter(torch.empty(TEXT, DIM))
        self.logit_scale = nn.Parameter(torch.empty(()))

    def encode_text(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.token_embedding(ids) + self.positional_embedding[: ids.shape[1]]
        ahead = torch.full((ids.shape[1], ids.shape[1]), -torch.inf).triu(1).to(x)
        x = self.ln_final(self.transformer(x, ahead))
        out: torch.Tensor = x[torch.arange(len(ids)), ids.argmax(dim=1)] @ self.text_projection
        return out


class Clip4Clip(nn.Module):
    """The checkpoint's whole: CLIP, the head of ``seqTransf``, and one that is not used."""

    def __init__(self, vocabulary: int, *, frames: int = 60) -> None:
        super().__init__()
        self.clip = Clip(vocabulary)
        self.frame_position_embeddings = nn.Embedding(frames, DIM)
        self.transformerClip = Transformer(DIM, 2, epsilon=1e-12)
        self.cross = nn.Linear(3, 3)

    def pool(self, frames: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return unit embeddings (B, D) of frames (B, F, D), of which some are ``present``."""
        x = frames + self.frame_position_embeddings.weight[: frames.shape[1]]
        hidden = (1 - present.to(x)) * -1e6  # (B, F)
        mask = hidden[:, None, :].expand(-1, frames.shape[1], -1)
        x = self.transformerClip(x, mask.repeat_interleave(DIM // 64, dim=0)) + frames
        x = x / x.norm(dim=-1, keepdim=True) * present[..., None]
        mean = x.sum(dim=1) / present.sum(dim=1, keepdim=True)
        return mean / mean.norm(dim=-1, keepdim=True)


def make_model(seed: int = 0) -> Clip4Clip:
    """Return a model every weight of which matters, norms and biases included."""
    model = Clip4Clip(len(make_tokenizer())).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        if value.ndim < 2:
            is_scale = ".ln_" in name and name.endswith("weight")
            value.normal_(float(is_scale), 0.3, generator=generator)
        else:
            value.normal_(0.0, value[0].numel() ** -0.5, generator=generator)
    return model


def write_checkpoint(
    folder: Path, model: Clip4Clip, *, name: str = "pytorch_model.bin", half: bool = False
) -> Path:
    """Write the state dict and the tokenizer beside it, as CLIP4Clip publishes no other file."""
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    if half:
        state = {key: value.half() for key, value in state.items()}
    torch.save(state, folder / name)
    make_tokenizer().save_pretrained(folder)
    return folder
