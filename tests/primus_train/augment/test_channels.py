import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from primus_train.augment.channels import channel_permutation, rotation

Windows = Callable[..., Tensor]
Generator = Callable[..., torch.Generator]


def turns(shared: bool, *, count: int, generator: torch.Generator) -> np.ndarray:
    """The rotation matrices of both triads: (count, 2, 3, 3), seen in what becomes of x, y, z."""
    x = torch.eye(3, dtype=torch.float64).repeat(2, 1).expand(count, 6, 3)
    out = rotation(x, generator=generator, shared=shared)
    return out.reshape(count, 2, 3, 3).numpy()


@pytest.mark.parametrize("shared", [True, False])
def test_rotations_are_proper_and_turn_each_triad_as_a_whole(
    windows: Windows, g: Generator, shared: bool
) -> None:
    x = windows(B=50, T=8).double()
    out = rotation(x, generator=g(), shared=shared)
    matrices = turns(shared, count=50, generator=g())
    for sample, pair in enumerate(matrices):
        for triad, matrix in enumerate(pair):
            np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
            assert np.linalg.det(matrix) == pytest.approx(1)
            before, after = (v[sample, 3 * triad : 3 * triad + 3].numpy() for v in (x, out))
            np.testing.assert_allclose(after, matrix @ before, atol=1e-12)


def test_one_housing_turns_both_sensors_alike_and_two_turn_apart(g: Generator) -> None:
    together = turns(True, count=2000, generator=g())
    np.testing.assert_array_equal(together[:, 0], together[:, 1])
    apart = turns(False, count=2000, generator=g())
    # The trace of the turn from one to the other: again uniform, so of mean 0, not 3.
    relative = np.einsum("nij,nij->n", apart[:, 0], apart[:, 1])
    assert relative.mean() == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("shared", [True, False])
def test_rotations_are_uniform_on_so3(g: Generator, shared: bool) -> None:
    count = 20_000
    for matrices in turns(shared, count=count, generator=g()).swapaxes(0, 1):
        trace = np.trace(matrices, axis1=1, axis2=2)
        # Under the uniform (Haar) measure the angle has density (1 - cos) / pi on [0, pi].
        angle = np.sort(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
        expected = (angle - np.sin(angle)) / math.pi
        ranks = np.arange(1, count + 1) / count
        # Kolmogorov-Smirnov at the one-per-mille level.
        assert np.abs(ranks - expected).max() < 1.95 / math.sqrt(count)
        # Moments of the character: E tr = 0, E tr^2 = 1, E tr^3 = 1.
        for power, moment in ((1, 0), (2, 1), (3, 1)):
            assert (trace**power).mean() == pytest.approx(moment, abs=0.1)
        # The axis is as likely in every direction: each entry is uniform in [-1, 1] (Archimedes).
        for entry in matrices.reshape(count, 9).T:
            uniform = (np.sort(entry) + 1) / 2
            assert np.abs(ranks - uniform).max() < 1.95 / math.sqrt(count)


def test_rotation_needs_triads(windows: Windows, g: Generator) -> None:
    with pytest.raises(ValueError, match=r"triads of 3, got C=4"):
        rotation(windows(C=4), generator=g())


def orders_of(x: Tensor) -> list[tuple[int, ...]]:
    """The orders of channels that hold their own numbers, once whole rows are seen to move."""
    assert torch.equal(x, x[:, :, :1].expand_as(x))
    return [tuple(order) for order in x[:, :, 0].long().tolist()]


def numbered(B: int, C: int) -> Tensor:
    return torch.arange(C, dtype=torch.float32)[:, None].expand(B, C, 5)


def test_channel_permutation_is_uniform_over_all_orders(g: Generator) -> None:
    found = Counter(orders_of(channel_permutation(numbered(6000, 3), generator=g())))
    assert len(found) == math.factorial(3)
    # Five standard deviations of a count of 6000 draws of probability 1/6.
    assert all(abs(count - 1000) < 5 * math.sqrt(6000 * 5 / 36) for count in found.values())


def test_channel_permutation_that_must_move_is_never_the_identity(g: Generator) -> None:
    found = Counter(orders_of(channel_permutation(numbered(6000, 3), generator=g(), always=True)))
    assert len(found) == math.factorial(3) - 1
    assert (0, 1, 2) not in found


def test_channel_permutation_moves_whole_channels(windows: Windows, g: Generator) -> None:
    x = windows(B=20)
    out = channel_permutation(x, generator=g())
    for before, after in zip(x.tolist(), out.tolist(), strict=True):
        assert sorted(before) == sorted(after)
