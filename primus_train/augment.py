"""Augmented views of IMU windows (Tang et al. 2020's transformations), on whole batches.

Every function takes ``x`` (B, C, T), draws afresh for each sample from ``generator`` and leaves
``x`` as it was.
"""

from typing import Final

import torch
from torch import Tensor

from primus_train.config import ViewConfig

__all__ = [
    "inversion",
    "jitter",
    "make_view",
    "rotation",
    "scaling",
    "segment_permutation",
    "time_reversal",
]

_AXES: Final = 3


def _sent(drawn: Tensor, *, like: Tensor) -> Tensor:
    """Return draws on the device of ``like``, without making the host wait for a GPU."""
    if like.is_cuda and not drawn.is_cuda:
        return drawn.pin_memory().to(like.device, non_blocking=True)
    return drawn.to(like.device)


def _normal(*shape: int, like: Tensor, generator: torch.Generator) -> Tensor:
    # Drawn where the generator lives, so that a seed means the same on every device.
    drawn = torch.randn(*shape, generator=generator, device=generator.device, dtype=like.dtype)
    return _sent(drawn, like=like)


def _uniform(*shape: int, like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.rand(*shape, generator=generator, device=generator.device)
    return _sent(drawn, like=like)


def scaling(x: Tensor, *, sigma: float, generator: torch.Generator) -> Tensor:
    """Multiply each channel of each sample by one factor from N(1, ``sigma``).

    A factor common to a sensor's three axes would be erased by the encoder's input GroupNorm.
    """
    B, C, _ = x.shape
    return x * (1 + sigma * _normal(B, C, 1, like=x, generator=generator))


def time_reversal(x: Tensor, *, probability: float, generator: torch.Generator) -> Tensor:
    """Reverse time in each sample with ``probability``."""
    chosen = _uniform(x.shape[0], 1, 1, like=x, generator=generator) < probability
    return torch.where(chosen, x.flip(2), x)


def jitter(x: Tensor, *, sigma: float, generator: torch.Generator) -> Tensor:
    """Add white noise of standard deviation ``sigma`` (m/s2 and rad/s alike) to every value."""
    B, C, T = x.shape
    return x + sigma * _normal(B, C, T, like=x, generator=generator)


def segment_permutation(x: Tensor, *, pieces: int, generator: torch.Generator) -> Tensor:
    """Cut each sample in time into ``pieces`` non-empty pieces and shuffle their order.

    Raises:
        ValueError: if a window has fewer samples than ``pieces``.
    """
    B, C, T = x.shape
    if not 1 <= pieces <= T:
        raise ValueError(f"pieces must be between 1 and T={T}, got {pieces}")
    cuts = _uniform(B, T - 1, like=x, generator=generator).argsort(dim=1)[:, : pieces - 1] + 1
    ends = torch.cat([cuts.sort(dim=1).values, cuts.new_full((B, 1), T)], dim=1)
    starts = torch.cat([cuts.new_zeros((B, 1)), ends[:, :-1]], dim=1)
    order = _uniform(B, pieces, like=x, generator=generator).argsort(dim=1)
    new_ends = (ends - starts).gather(1, order).cumsum(dim=1)
    shift = starts.gather(1, order) - torch.cat(
        [new_ends.new_zeros((B, 1)), new_ends[:, :-1]], dim=1
    )
    time = torch.arange(T, device=x.device).expand(B, T).contiguous()
    piece = torch.searchsorted(new_ends, time, right=True)
    source = time + shift.gather(1, piece)
    return x.gather(2, source[:, None, :].expand(B, C, T))


def rotation(x: Tensor, *, generator: torch.Generator) -> Tensor:
    """Turn each sample by one rotation, uniform on SO(3), applied to each of its triads.

    Both sensors of a device turn together: the rotation stands for another way to wear it.
    A normalised 4-d Gaussian is a uniform unit quaternion.
    """
    B, C, T = x.shape
    if C % _AXES:
        raise ValueError(f"rotation needs channels in triads of 3, got C={C}")
    quaternion = _normal(B, 4, like=x, generator=generator)
    w, i, j, k = torch.nn.functional.normalize(quaternion, dim=1).unbind(1)
    matrix = torch.stack(
        [
            *(1 - 2 * (j * j + k * k), 2 * (i * j - w * k), 2 * (i * k + w * j)),
            *(2 * (i * j + w * k), 1 - 2 * (i * i + k * k), 2 * (j * k - w * i)),
            *(2 * (i * k - w * j), 2 * (j * k + w * i), 1 - 2 * (i * i + j * j)),
        ],
        dim=1,
    ).view(B, 1, _AXES, _AXES)
    return (matrix @ x.view(B, C // _AXES, _AXES, T)).view(B, C, T)


def inversion(x: Tensor) -> Tensor:
    """Change the sign of every value."""
    return -x


def make_view(x: Tensor, *, config: ViewConfig, generator: torch.Generator) -> Tensor:
    """Return the view h(x) of windows (B, C, T): the configured transforms, in their order."""
    for name in config.transforms:
        if name == "scaling":
            x = scaling(x, sigma=config.scaling_sigma, generator=generator)
        elif name == "time_reversal":
            x = time_reversal(x, probability=config.reversal_probability, generator=generator)
        elif name == "jitter":
            x = jitter(x, sigma=config.jitter_sigma, generator=generator)
        elif name == "segment_permutation":
            x = segment_permutation(x, pieces=config.pieces, generator=generator)
        elif name == "rotation":
            x = rotation(x, generator=generator)
        else:
            x = inversion(x)
    return x
