"""Adam and AdamW as one fused pass over the weights, and the rate they step by."""

from typing import Any

import torch
from torch import nn

from primus_train.config import FitConfig
from primus_train.schedule import rate_changes

__all__ = ["make_optimizer", "set_learning_rate"]


def _groups(objective: nn.Module, *, weight_decay: float) -> list[dict[str, Any]]:
    """Return the weights, those that decay apart: a temperature's decay would pull it to 1."""
    weights = list(objective.parameters())
    if weight_decay == 0:
        return [{"params": weights}]
    return [
        {"params": [w for w in weights if w.ndim >= 2], "weight_decay": weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]


def make_optimizer(
    objective: nn.Module, *, config: FitConfig, device: torch.device
) -> torch.optim.Adam:
    """Return the optimiser that a config asks for, fused.

    Under graphs its step count stays on CUDA, and so does a rate that changes: what is recorded
    reads both from there.
    """
    optim = config.optim
    recorded = device.type == "cuda" and optim.compile == "graphs"
    rate: float | torch.Tensor = optim.learning_rate
    if recorded and rate_changes(optim):
        rate = torch.tensor(optim.learning_rate, device=device)
    kind = torch.optim.AdamW if optim.optimizer == "adamw" else torch.optim.Adam
    return kind(
        _groups(objective, weight_decay=optim.weight_decay),
        lr=rate,
        weight_decay=0.0,
        fused=True,
        capturable=recorded,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step be of ``rate``."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
