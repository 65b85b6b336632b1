from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from primus_train.augment.values import inversion, jitter, scaling, step_scaling
from primus_train.encoders.stacked_rnn import StackedRnn
from primus_train.seeds import seeded_init

Windows = Callable[..., Tensor]
Generator = Callable[..., torch.Generator]


def test_scaling_is_one_factor_a_channel_and_sample_about_one(
    windows: Windows, g: Generator
) -> None:
    x = windows(B=2000, T=4)
    factors = scaling(x, sigma=0.25, generator=g()) / x
    assert torch.allclose(factors, factors[:, :, :1].expand_as(factors), rtol=1e-3)
    drawn = factors[:, :, 0].flatten()
    assert len(drawn.unique()) > 11_000
    assert float(drawn.mean()) == pytest.approx(1, abs=0.01)
    assert float(drawn.std()) == pytest.approx(0.25, abs=0.01)


def test_step_scaling_is_one_factor_an_instant_shared_by_the_channels(
    windows: Windows, g: Generator
) -> None:
    x = windows(B=50, T=250)
    factors = step_scaling(x, sigma=0.25, generator=g()) / x
    assert torch.allclose(factors, factors[:, :1].expand_as(factors), rtol=1e-3)
    drawn = factors[:, 0].flatten()
    assert len(drawn.unique()) > 12_000
    assert float(drawn.mean()) == pytest.approx(1, abs=0.01)
    assert float(drawn.std()) == pytest.approx(0.25, abs=0.01)


def test_scaling_a_channel_changes_what_the_encoder_says_but_scaling_a_sensor_does_not(
    windows: Windows, g: Generator
) -> None:
    with seeded_init(0):
        encoder = StackedRnn().eval()
    x = windows()
    common = x.clone()
    common[:, :3] *= 1.7
    one = x.clone()
    one[:, 0] *= 1.7
    with torch.no_grad():
        plain, after_common, after_one, drawn = (
            encoder(v).backbone for v in (x, common, one, scaling(x, sigma=0.25, generator=g()))
        )
    assert float((after_common - plain).abs().max()) < 1e-4
    assert float((after_one - plain).abs().max()) > 1e-2
    assert float((drawn - plain).abs().max()) > 1e-2


def test_jitter_is_white_noise_of_its_sigma(windows: Windows, g: Generator) -> None:
    x = windows(B=20)
    noise = jitter(x, sigma=0.1, generator=g()) - x
    assert float(noise.std()) == pytest.approx(0.1, rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=0.003)
    in_time = (noise[:, :, 1:] * noise[:, :, :-1]).mean() / noise.var()
    in_channels = (noise[:, 1:] * noise[:, :-1]).mean() / noise.var()
    assert abs(float(in_time)) < 0.03
    assert abs(float(in_channels)) < 0.03


def test_inversion_changes_signs(windows: Windows) -> None:
    x = windows()
    assert torch.equal(inversion(x), torch.zeros_like(x).sub(x))
