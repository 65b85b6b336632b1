"""Random numbers for a batch, drawn where their generator lives."""

import torch
from torch import Tensor

__all__ = ["draw_normal", "draw_order", "draw_uniform"]


def _sent(drawn: Tensor, *, like: Tensor) -> Tensor:
    """Return draws on the device of ``like``, without making the host wait for a GPU."""
    if like.is_cuda and not drawn.is_cuda:
        return drawn.pin_memory().to(like.device, non_blocking=True)
    return drawn.to(like.device)


def draw_normal(*shape: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal numbers of ``like``'s type on its device.

    They are drawn on the generator's device, so that a seed means the same everywhere.
    """
    drawn = torch.randn(*shape, generator=generator, device=generator.device, dtype=like.dtype)
    return _sent(drawn, like=like)


def draw_uniform(*shape: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return numbers uniform in [0, 1) on the device of ``like``, drawn on the generator's."""
    drawn = torch.rand(*shape, generator=generator, device=generator.device)
    return _sent(drawn, like=like)


def draw_order(
    rows: int, count: int, *, always: bool, like: Tensor, generator: torch.Generator
) -> Tensor:
    """Return a uniform permutation of ``count`` things for each row: (rows, count) int64.

    Args:
        rows: how many permutations.
        count: of what is permuted.
        always: never the identity; where it is drawn, everything moves on by one place.
        like: on whose device the result is.
        generator: where the draws come from.
    """
    order = draw_uniform(rows, count, like=like, generator=generator).argsort(dim=1)
    if not always:
        return order
    still = (order == torch.arange(count, device=order.device)).all(dim=1, keepdim=True)
    return torch.where(still, order.roll(1, dims=1), order)
