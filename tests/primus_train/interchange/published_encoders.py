"""The published encoders as their papers and checkpoints describe them, and files of them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, channels: int, kernel: int, pool: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv1d(channels, 32, kernel, dilation=2, bias=False), pool)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # type: ignore[no-any-return]


def trunk(last_pool: nn.Module) -> nn.Sequential:
    return nn.Sequential(
        nn.GroupNorm(2, 6),
        Block(6, 10, nn.MaxPool1d(3)),
        Block(32, 5, nn.MaxPool1d(3)),
        Block(32, 5, last_pool),
        nn.GroupNorm(4, 32),
        nn.GRU(32, 512, batch_first=True),
    )


class PublishedPrimus(nn.Module):
    """Two heads on the GRU's last state, which runs over the 32 channels of 32 bins."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = trunk(nn.AdaptiveAvgPool1d(32))
        self.ssl_head = nn.Linear(512, 512)
        self.mmcl_head = nn.Linear(512, 512)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        state = self.backbone(x)[1][0]
        return {
            "backbone": state,
            "unimodal": self.ssl_head(state),
            "multimodal": self.mmcl_head(state),
        }


class PublishedWithoutHeads(nn.Module):
    """The GRU's last state is the embedding."""

    def __init__(self, last_pool: nn.Module) -> None:
        super().__init__()
        self.net = trunk(last_pool)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        state = self.net(x)[1][0]
        return {"backbone": state, "unimodal": state, "multimodal": state}


def make_published(layout: str, *, seed: int = 0) -> nn.Module:
    """Return a network of random weights; the normalisations' too, which start as 1 and 0."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: nn.Module = {
            "primus": PublishedPrimus,
            "primus-one-head": lambda: PublishedWithoutHeads(nn.AdaptiveAvgPool1d(32)),
            "imu2clip": lambda: PublishedWithoutHeads(nn.MaxPool1d(3)),
        }[layout]()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape), alpha=0.05)
    return network.eval()


def write_lightning(path: Path, network: nn.Module, **more: Any) -> Path:
    """Write what Lightning writes: the encoder beside its teachers, and the loop's own state."""
    state = {f"imu_encoder.{name}": value for name, value in network.state_dict().items()}
    state |= {"text_encoder.model.logit_scale": torch.tensor(4.6), "temp_mmcl": torch.tensor(0.1)}
    checkpoint = {
        "epoch": 14,
        "global_step": 1000,
        "pytorch-lightning_version": "1.9.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_loss'}": {"best_model_score": None}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}}],
        "lr_schedulers": [],
        **more,
    }
    torch.save(checkpoint, path)
    return path


def windows(samples: int, *, count: int = 3, seed: int = 7) -> Tensor:
    """Windows (B, 6, T) with gravity on an axis, the gyroscope's numbers smaller."""
    drawn = torch.randn(count, 6, samples, generator=torch.Generator().manual_seed(seed))
    scale = torch.tensor([2.0, 1.0, 3.0, 0.3, 1.0, 0.5])[:, None]
    offset = torch.tensor([9.81, 0.0, 0.0, 0.0, 0.0, 0.0])[:, None]
    return drawn * scale + offset
