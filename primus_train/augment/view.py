"""The view of a window: transforms by name, one after the other."""

import torch
from torch import Tensor

from primus_train.augment.channels import channel_permutation, rotation
from primus_train.augment.timing import segment_permutation, time_reversal, time_warp
from primus_train.augment.values import inversion, jitter, scaling, step_scaling
from primus_train.config import TransformName, ViewConfig

__all__ = ["make_view"]


def make_view(
    x: Tensor, *, config: ViewConfig, generator: torch.Generator, always: bool = False
) -> Tensor:
    """Return the view h(x) of windows (B, C, T): the configured transforms, in their order.

    Args:
        x: windows; they stay as they are.
        config: which transforms, and how strong.
        generator: of all draws.
        always: no transform may by chance leave a window as it was: time is reversed for certain,
            and a permutation is never the identity.
    """
    for name in config.transforms:
        x = _transformed(x, name=name, config=config, generator=generator, always=always)
    return x


def _transformed(
    x: Tensor,
    *,
    name: TransformName,
    config: ViewConfig,
    generator: torch.Generator,
    always: bool,
) -> Tensor:
    match name:
        case "scaling":
            return scaling(x, sigma=config.scaling_sigma, generator=generator)
        case "step_scaling":
            return step_scaling(x, sigma=config.scaling_sigma, generator=generator)
        case "jitter":
            return jitter(x, sigma=config.jitter_sigma, generator=generator)
        case "inversion":
            return inversion(x)
        case "rotation":
            return rotation(x, generator=generator, shared=config.rotation_shared)
        case "channel_permutation":
            return channel_permutation(x, generator=generator, always=always)
        case "segment_permutation":
            return segment_permutation(x, pieces=config.pieces, generator=generator, always=always)
        case "time_reversal":
            probability = 1.0 if always else config.reversal_probability
            return time_reversal(x, probability=probability, generator=generator)
        case "time_warp":
            return time_warp(
                x, knots=config.warp_knots, sigma=config.warp_sigma, generator=generator
            )
