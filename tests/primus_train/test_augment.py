from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from primus_train import augment
from primus_train.config import ViewConfig
from primus_train.encoders.stacked_rnn import StackedRnn
from primus_train.seeds import make_generator, seeded_init


def windows(B: int = 3, C: int = 6, T: int = 250) -> Tensor:
    return torch.randn(B, C, T, generator=make_generator(0, "windows"))


def g(seed: int = 0) -> torch.Generator:
    return make_generator(seed, "augment")


def test_scaling_is_one_factor_a_channel_and_sample_about_one() -> None:
    x = windows(B=2000, T=4)
    factors = augment.scaling(x, sigma=0.25, generator=g()) / x
    assert torch.allclose(factors, factors[:, :, :1].expand_as(factors), rtol=1e-3)
    drawn = factors[:, :, 0].flatten()
    assert len(drawn.unique()) > 11_000
    assert float(drawn.mean()) == pytest.approx(1, abs=0.01)
    assert float(drawn.std()) == pytest.approx(0.25, abs=0.01)


def test_scaling_a_channel_changes_what_the_encoder_says_but_scaling_a_sensor_does_not() -> None:
    with seeded_init(0):
        encoder = StackedRnn().eval()
    x = windows()
    common = x.clone()
    common[:, :3] *= 1.7
    one = x.clone()
    one[:, 0] *= 1.7
    with torch.no_grad():
        plain, after_common, after_one, drawn = (
            encoder(v).backbone
            for v in (x, common, one, augment.scaling(x, sigma=0.25, generator=g()))
        )
    assert float((after_common - plain).abs().max()) < 1e-4
    assert float((after_one - plain).abs().max()) > 1e-2
    assert float((drawn - plain).abs().max()) > 1e-2


def test_time_reversal_reverses_time_and_keeps_channels() -> None:
    x = torch.arange(2 * 6 * 4, dtype=torch.float32).view(2, 6, 4)
    assert torch.equal(
        augment.time_reversal(x, probability=1, generator=g()), x[:, :, [3, 2, 1, 0]]
    )
    assert torch.equal(augment.time_reversal(x, probability=0, generator=g()), x)


def test_time_reversal_is_drawn_for_each_sample() -> None:
    x = windows(B=1000, T=3)
    out = augment.time_reversal(x, probability=0.3, generator=g())
    flipped = (out == x.flip(2)).all(dim=(1, 2))
    assert torch.equal(out[~flipped], x[~flipped])
    assert float(flipped.float().mean()) == pytest.approx(0.3, abs=0.05)


def test_jitter_is_white_noise_of_its_sigma() -> None:
    x = windows(B=20)
    noise = augment.jitter(x, sigma=0.1, generator=g()) - x
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=0.003)
    shifted = (noise[:, :, 1:] * noise[:, :, :-1]).mean() / noise.var()
    assert abs(float(shifted)) < 0.03


def pieces_of(order: list[int]) -> int:
    return 1 + sum(b != a + 1 for a, b in pairwise(order))


def test_segment_permutation_moves_whole_pieces_alike_in_all_channels() -> None:
    T = 40
    x = torch.arange(T, dtype=torch.float32).expand(200, 6, T) + 1000 * torch.arange(6)[:, None]
    out = augment.segment_permutation(x, pieces=4, generator=g())
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
def test_segment_permutation_at_its_limits(pieces: int) -> None:
    x = windows(B=70)
    out = augment.segment_permutation(x, pieces=pieces, generator=g())
    assert torch.equal(out.sort(dim=2).values, x.sort(dim=2).values)
    assert torch.equal(out, x) == (pieces == 1)


def test_more_pieces_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pieces must be between 1 and T=3, got 4"):
        augment.segment_permutation(windows(T=3), pieces=4, generator=g())


def test_rotation_turns_both_triads_by_one_proper_rotation() -> None:
    x = windows(B=50, T=8)
    out = augment.rotation(x, generator=g())
    for before, after in zip(x.double().numpy(), out.double().numpy(), strict=True):
        # The least-squares matrix that takes the first triad over.
        matrix = np.linalg.lstsq(before[:3].T, after[:3].T, rcond=None)[0].T
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-4)
        assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-4)
        np.testing.assert_allclose(matrix @ before[3:], after[3:], atol=1e-4)


def test_rotation_is_uniform_on_so3() -> None:
    x = torch.tensor([1.0, 0, 0]).view(1, 3, 1).expand(20_000, 3, 1)
    out = augment.rotation(x, generator=g())[:, :, 0]
    # A uniform point on the sphere has coordinates uniform in [-1, 1] (Archimedes).
    for axis in range(3):
        ordered = out[:, axis].sort().values
        uniform = torch.linspace(-1, 1, len(ordered))
        assert float((ordered - uniform).abs().max()) < 0.04


def test_rotation_needs_triads() -> None:
    with pytest.raises(ValueError, match=r"triads of 3, got C=4"):
        augment.rotation(windows(C=4), generator=g())


def test_inversion_changes_signs() -> None:
    x = windows()
    assert torch.equal(augment.inversion(x), -x)


DRAWN: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "scaling": lambda x, r: augment.scaling(x, sigma=0.25, generator=r),
    "time_reversal": lambda x, r: augment.time_reversal(x, probability=0.5, generator=r),
    "jitter": lambda x, r: augment.jitter(x, sigma=0.1, generator=r),
    "segment_permutation": lambda x, r: augment.segment_permutation(x, pieces=4, generator=r),
    "rotation": lambda x, r: augment.rotation(x, generator=r),
}


@pytest.mark.parametrize("name", DRAWN)
def test_draws_come_from_the_generator_alone_and_leave_the_input(name: str) -> None:
    x = windows(B=16)
    kept = x.clone()
    one, again, two = (DRAWN[name](x, g(seed)) for seed in (1, 1, 2))
    assert torch.equal(x, kept)
    assert torch.equal(one, again)
    assert not torch.equal(one, two)


@pytest.mark.parametrize("name", DRAWN)
def test_channels_and_time_are_not_interchangeable(name: str) -> None:
    x = windows(B=8, C=6, T=6)
    right = DRAWN[name](x, g())
    swapped = DRAWN[name](x.transpose(1, 2), g()).transpose(1, 2)
    assert not torch.equal(right, swapped)


def test_the_view_applies_its_transforms_in_order() -> None:
    x = windows()
    config = ViewConfig(transforms=("inversion", "scaling", "time_reversal"))
    by_hand = augment.scaling(-x, sigma=0.25, generator=g()).flip(2)
    assert torch.equal(augment.make_view(x, config=config, generator=g()), by_hand)


@pytest.mark.parametrize(
    ("transform", "change"),
    [
        ("scaling", {"scaling_sigma": 0.0}),
        ("time_reversal", {"reversal_probability": 0.0}),
        ("jitter", {"jitter_sigma": 0.0}),
        ("segment_permutation", {"pieces": 1}),
    ],
)
def test_each_view_setting_reaches_its_transform(transform: str, change: dict[str, float]) -> None:
    x = windows()
    still = ViewConfig.model_validate({"transforms": (transform,), **change})
    assert torch.equal(augment.make_view(x, config=still, generator=g()), x)
    moving = ViewConfig.model_validate({"transforms": (transform,)})
    assert not torch.equal(augment.make_view(x, config=moving, generator=g()), x)


def test_rotation_is_a_transform_of_the_view() -> None:
    x = windows()
    out = augment.make_view(x, config=ViewConfig(transforms=("rotation",)), generator=g())
    assert torch.equal(out, augment.rotation(x, generator=g()))
