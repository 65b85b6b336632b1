"""Transforms that change values and leave every sample at its instant and in its channel."""

import torch
from torch import Tensor

from primus_train.augment.draws import draw_normal

__all__ = ["inversion", "jitter", "scaling", "step_scaling"]


def scaling(x: Tensor, *, sigma: float, generator: torch.Generator) -> Tensor:
    """Multiply each channel of each sample (B, C, T) by one factor from N(1, ``sigma``).

    A factor common to a sensor's three axes would be erased by the encoder's input GroupNorm.
    """
    B, C, _ = x.shape
    return x * (1 + sigma * draw_normal(B, C, 1, like=x, generator=generator))


def step_scaling(x: Tensor, *, sigma: float, generator: torch.Generator) -> Tensor:
    """Multiply each instant of each sample (B, C, T) by one factor from N(1, ``sigma``).

    All channels share it: noise in proportion to the signal, not the gain of a sensor. The
    published PRIMUS code does this where its paper speaks of scaling.
    """
    B, _, T = x.shape
    return x * (1 + sigma * draw_normal(B, 1, T, like=x, generator=generator))


def jitter(x: Tensor, *, sigma: float, generator: torch.Generator) -> Tensor:
    """Add white noise of standard deviation ``sigma`` (m/s2 and rad/s alike) to (B, C, T)."""
    B, C, T = x.shape
    return x + sigma * draw_normal(B, C, T, like=x, generator=generator)


def inversion(x: Tensor) -> Tensor:
    """Change the sign of every value."""
    return -x
