"""Transforms that mix channels and leave time alone."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.augment.draws import draw_normal, draw_order

__all__ = ["channel_permutation", "rotation"]

_AXES: Final = 3


def channel_permutation(x: Tensor, *, generator: torch.Generator, always: bool = False) -> Tensor:
    """Put the channels of each sample (B, C, T) in a random order, uniform over all C! orders.

    Args:
        x: windows.
        generator: of the order.
        always: never the order in which they were.
    """
    B, C, T = x.shape
    order = draw_order(B, C, always=always, like=x, generator=generator)
    return x.gather(1, order[:, :, None].expand(B, C, T))


def rotation(x: Tensor, *, generator: torch.Generator, shared: bool = True) -> Tensor:
    """Turn each triad of channels of each sample (B, C, T) by a rotation uniform on SO(3).

    Args:
        x: windows, channels in triads [x, y, z].
        generator: of the rotations. A normalised 4-d Gaussian is a uniform unit quaternion.
        shared: one rotation for all triads of a sample: the sensors sit in one housing, so it
            stands for another way to wear it. Otherwise one each, which no device can produce.

    Raises:
        ValueError: if C is no multiple of 3.
    """
    B, C, T = x.shape
    if C % _AXES:
        raise ValueError(f"rotation needs channels in triads of 3, got C={C}")
    triads = C // _AXES
    drawn = draw_normal(B, 1 if shared else triads, 4, like=x, generator=generator)
    w, i, j, k = F.normalize(drawn, dim=2).unbind(2)
    matrix = torch.stack(
        [
            *(1 - 2 * (j * j + k * k), 2 * (i * j - w * k), 2 * (i * k + w * j)),
            *(2 * (i * j + w * k), 1 - 2 * (i * i + k * k), 2 * (j * k - w * i)),
            *(2 * (i * k - w * j), 2 * (j * k + w * i), 1 - 2 * (i * i + j * j)),
        ],
        dim=2,
    ).unflatten(2, (_AXES, _AXES))
    turned: Tensor = matrix @ x.reshape(B, triads, _AXES, T)
    return turned.reshape(B, C, T)
