import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from primus_train.augment.timing import segment_permutation, time_reversal, time_warp

Windows = Callable[..., Tensor]
Generator = Callable[..., torch.Generator]


def test_time_reversal_reverses_time_and_keeps_channels(g: Generator) -> None:
    x = torch.arange(2 * 6 * 4, dtype=torch.float32).view(2, 6, 4)
    assert torch.equal(time_reversal(x, probability=1, generator=g()), x[:, :, [3, 2, 1, 0]])
    assert torch.equal(time_reversal(x, probability=0, generator=g()), x)


def test_time_reversal_is_drawn_for_each_sample(windows: Windows, g: Generator) -> None:
    x = windows(B=1000, T=3)
    out = time_reversal(x, probability=0.3, generator=g())
    flipped = (out == x.flip(2)).all(dim=(1, 2))
    assert torch.equal(out[~flipped], x[~flipped])
    assert float(flipped.float().mean()) == pytest.approx(0.3, abs=0.05)


def pieces_of(order: list[int]) -> int:
    return 1 + sum(b != a + 1 for a, b in pairwise(order))


def test_segment_permutation_moves_whole_pieces_alike_in_all_channels(g: Generator) -> None:
    T = 40
    x = torch.arange(T, dtype=torch.float32).expand(200, 6, T) + 1000 * torch.arange(6)[:, None]
    out = segment_permutation(x, pieces=4, generator=g())
    orders = out[:, 0].long().tolist()
    for sample, order in enumerate(orders):
        assert sorted(order) == list(range(T))
        assert pieces_of(order) <= 4
        assert torch.equal(
            out[sample] - 1000 * torch.arange(6)[:, None], out[sample, :1].expand(6, T)
        )
    # Four pieces stay four unless two of them land in their old order side by side.
    assert sum(pieces_of(order) == 4 for order in orders) > 60
    assert len({tuple(order) for order in orders}) > 150


@pytest.mark.parametrize("pieces", [1, 250])
def test_segment_permutation_at_its_limits(windows: Windows, g: Generator, pieces: int) -> None:
    x = windows(B=70)
    out = segment_permutation(x, pieces=pieces, generator=g())
    assert torch.equal(out.sort(dim=2).values, x.sort(dim=2).values)
    assert torch.equal(out, x) == (pieces == 1)


def test_segment_permutation_stays_by_chance_unless_it_must_move(
    windows: Windows, g: Generator
) -> None:
    x = windows(B=2000, T=8)
    stayed = (segment_permutation(x, pieces=3, generator=g()) == x).all(dim=(1, 2))
    # One of the 3! orders is the old one.
    assert float(stayed.float().mean()) == pytest.approx(1 / 6, abs=0.03)
    moved = segment_permutation(x, pieces=3, generator=g(), always=True)
    assert not (moved == x).all(dim=(1, 2)).any()


def test_more_pieces_than_samples_are_refused(windows: Windows, g: Generator) -> None:
    with pytest.raises(ValueError, match=r"pieces must be between 1 and T=3, got 4"):
        segment_permutation(windows(T=3), pieces=4, generator=g())


def slow_positions(log_speeds: list[float], *, T: int) -> list[float]:
    """Where each instant is read, by a loop over the steps; ``log_speeds`` at the knots."""
    gaps = len(log_speeds) - 1
    run = [0.0]
    for step in range(T - 1):
        place = (step + 0.5) / (T - 1) * gaps
        left = min(int(place), gaps - 1)
        share = (1 - math.cos(math.pi * (place - left))) / 2
        between = (1 - share) * log_speeds[left] + share * log_speeds[left + 1]
        run.append(run[-1] + math.exp(between))
    return [r / run[-1] * (T - 1) for r in run]


@pytest.mark.parametrize(("knots", "T"), [(1, 50), (4, 250), (9, 7), (3, 2)])
def test_time_warp_is_linear_interpolation_at_the_integral_of_the_drawn_speed(
    windows: Windows, g: Generator, knots: int, T: int
) -> None:
    x = windows(B=4, T=T).double()
    out = time_warp(x, knots=knots, sigma=0.5, generator=g())
    drawn = 0.5 * torch.randn(4, knots + 2, generator=g(), dtype=torch.float64)
    for sample, speeds in enumerate(drawn.tolist()):
        at = slow_positions(speeds, T=T)
        for channel in range(6):
            wanted = np.interp(at, np.arange(T), x[sample, channel].numpy())
            np.testing.assert_allclose(out[sample, channel].numpy(), wanted, atol=1e-9)


@pytest.mark.parametrize("sigma", [0.2, 3.0])
def test_time_warp_never_stands_or_runs_back_and_keeps_its_ends(g: Generator, sigma: float) -> None:
    T = 250
    time = torch.arange(T, dtype=torch.float64).expand(300, 6, T)
    at = time_warp(time, knots=4, sigma=sigma, generator=g())
    assert torch.equal(at[:, :, 0], time[:, :, 0])
    assert torch.equal(at[:, :, -1], time[:, :, -1])
    assert bool((at.diff(dim=2) > 0).all())
    # One curve a sample, the same in all its channels.
    assert torch.equal(at, at[:, :1].expand_as(at))
    assert len(at[:, 0, 100].unique()) == 300


def test_the_speed_of_a_time_warp_is_smooth_and_spread_as_its_sigma(g: Generator) -> None:
    time = torch.arange(250, dtype=torch.float64).expand(4000, 3, 250)
    at = time_warp(time, knots=4, sigma=0.1, generator=g())
    speed = at[:, 0].diff(dim=1)
    assert float(speed.diff(dim=1).abs().max()) < 0.05
    # At a knot the logarithm of the speed is the draw, less that of the mean speed.
    assert 0.08 < float(speed[:, 0].log().std()) < 0.11


def test_a_time_warp_of_no_spread_is_none_and_needs_two_samples(
    windows: Windows, g: Generator
) -> None:
    x = windows()
    still = time_warp(x, knots=4, sigma=0, generator=g())
    assert torch.allclose(still, x, rtol=0, atol=2e-4)
    with pytest.raises(ValueError, match="at least 2 samples, got T=1"):
        time_warp(windows(T=1), knots=4, sigma=0.2, generator=g())
