"""Transforms that move samples along time, alike in all channels."""

import math

import torch
from torch import Tensor

from primus_train.augment.draws import draw_normal, draw_order, draw_uniform

__all__ = ["segment_permutation", "time_reversal", "time_warp"]


def time_reversal(x: Tensor, *, probability: float, generator: torch.Generator) -> Tensor:
    """Reverse time in each sample of (B, C, T) with ``probability``."""
    chosen = draw_uniform(x.shape[0], 1, 1, like=x, generator=generator) < probability
    return torch.where(chosen, x.flip(2), x)


def segment_permutation(
    x: Tensor, *, pieces: int, generator: torch.Generator, always: bool = False
) -> Tensor:
    """Cut each sample (B, C, T) in time into ``pieces`` non-empty pieces and shuffle their order.

    Args:
        x: windows.
        pieces: how many.
        generator: of the cuts and of the order.
        always: never in the order in which they were.

    Raises:
        ValueError: if a window has fewer samples than ``pieces``.
    """
    B, C, T = x.shape
    if not 1 <= pieces <= T:
        raise ValueError(f"pieces must be between 1 and T={T}, got {pieces}")
    cuts = draw_uniform(B, T - 1, like=x, generator=generator).argsort(dim=1)[:, : pieces - 1] + 1
    ends = torch.cat([cuts.sort(dim=1).values, cuts.new_full((B, 1), T)], dim=1)
    starts = torch.cat([cuts.new_zeros((B, 1)), ends[:, :-1]], dim=1)
    order = draw_order(B, pieces, always=always, like=x, generator=generator)
    new_ends = (ends - starts).gather(1, order).cumsum(dim=1)
    shift = starts.gather(1, order) - torch.cat(
        [new_ends.new_zeros((B, 1)), new_ends[:, :-1]], dim=1
    )
    time = torch.arange(T, device=x.device).expand(B, T).contiguous()
    piece = torch.searchsorted(new_ends, time, right=True)
    source = time + shift.gather(1, piece)
    return x.gather(2, source[:, None, :].expand(B, C, T))


def time_warp(x: Tensor, *, knots: int, sigma: float, generator: torch.Generator) -> Tensor:
    """Play each sample (B, C, T) at a smoothly changing speed, from its first to its last instant.

    The logarithm of the speed is drawn from N(0, ``sigma``) at both ends and at ``knots`` evenly
    spaced instants between them, and eased from one to the next by half a cosine. A speed is
    never zero or negative, so time never stands still or runs back. Values between samples are
    interpolated linearly.

    Raises:
        ValueError: if a window has fewer than two samples.
    """
    B, C, T = x.shape
    if T < 2:
        raise ValueError(f"time_warp needs windows of at least 2 samples, got T={T}")
    drawn = sigma * draw_normal(B, knots + 2, like=x, generator=generator)
    # Where the middle of each step between two samples lies among the knots.
    place = (torch.arange(T - 1, device=x.device, dtype=x.dtype) + 0.5) * ((knots + 1) / (T - 1))
    before = place.long().clamp(max=knots)
    eased = (1 - torch.cos(math.pi * (place - before))) / 2
    speed = torch.lerp(drawn[:, before], drawn[:, before + 1], eased).exp()
    run = speed.cumsum(dim=1)
    at = torch.cat([run.new_zeros((B, 1)), run / run[:, -1:] * (T - 1)], dim=1)
    low = at.long().clamp(max=T - 2)
    share = (at - low)[:, None, :]
    low = low[:, None, :].expand(B, C, T)
    return torch.lerp(x.gather(2, low), x.gather(2, low + 1), share)
