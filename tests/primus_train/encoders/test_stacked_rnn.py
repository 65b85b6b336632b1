from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from primus_train.config import make_fit_config, parse_objective
from primus_train.encoders.stacked_rnn import StackedRnn
from primus_train.objectives.registry import make_objective
from schemas.errors import UsageError

Array = npt.NDArray[np.float64]

SHAPES = {
    "backbone.0.weight": (6,),
    "backbone.0.bias": (6,),
    "backbone.1.net.0.weight": (32, 6, 10),
    "backbone.2.net.0.weight": (32, 32, 5),
    "backbone.3.net.0.weight": (32, 32, 5),
    "backbone.4.weight": (32,),
    "backbone.4.bias": (32,),
    "backbone.5.weight_ih_l0": (1536, 32),
    "backbone.5.weight_hh_l0": (1536, 512),
    "backbone.5.bias_ih_l0": (1536,),
    "backbone.5.bias_hh_l0": (1536,),
    "ssl_head.weight": (512, 512),
    "ssl_head.bias": (512,),
    "mmcl_head.weight": (512, 512),
    "mmcl_head.bias": (512,),
}


def published_weights(seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)
        for name, shape in SHAPES.items()
    }


def group_norm(x: Array, *, groups: int, weight: Array, bias: Array) -> Array:
    out = np.empty_like(x)
    size = x.shape[0] // groups
    for g in range(groups):
        part = x[g * size : (g + 1) * size]
        out[g * size : (g + 1) * size] = (part - part.mean()) / np.sqrt(part.var() + 1e-5)
    return out * weight[:, None] + bias[:, None]


def convolve(x: Array, weight: Array) -> Array:
    taps = weight.shape[2]
    length = x.shape[1] - 2 * (taps - 1)
    return np.array(
        [
            [np.sum(weight[f] * x[:, t : t + 2 * taps - 1 : 2]) for t in range(length)]
            for f in range(weight.shape[0])
        ]
    )


def max_pool(x: Array) -> Array:
    return np.array([[max(row[3 * i : 3 * i + 3]) for i in range(len(row) // 3)] for row in x])


def adaptive_mean(x: Array, bins: int) -> Array:
    length = x.shape[1]
    return np.stack(
        [x[:, i * length // bins : -(-(i + 1) * length // bins)].mean(axis=1) for i in range(bins)],
        axis=1,
    )


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def gru_last(sequence: Array, w: dict[str, Array]) -> Array:
    state = np.zeros(512)
    for x in sequence:
        a = w["backbone.5.weight_ih_l0"] @ x + w["backbone.5.bias_ih_l0"]
        b = w["backbone.5.weight_hh_l0"] @ state + w["backbone.5.bias_hh_l0"]
        reset, update = sigmoid(a[:512] + b[:512]), sigmoid(a[512:1024] + b[512:1024])
        new = np.tanh(a[1024:] + reset * b[1024:])
        state = (1 - update) * new + update * state
    return state


def forward_by_hand(
    x: Array, w: dict[str, Array], *, channel_wise: bool, largest: bool = False
) -> dict[str, Array]:
    x = group_norm(x, groups=2, weight=w["backbone.0.weight"], bias=w["backbone.0.bias"])
    x = max_pool(convolve(x, w["backbone.1.net.0.weight"]))
    x = max_pool(convolve(x, w["backbone.2.net.0.weight"]))
    x = convolve(x, w["backbone.3.net.0.weight"])
    x = max_pool(x) if largest else adaptive_mean(x, 32)
    x = group_norm(x, groups=4, weight=w["backbone.4.weight"], bias=w["backbone.4.bias"])
    state = gru_last(x if channel_wise else x.T, w)
    heads = {"unimodal": "ssl_head", "multimodal": "mmcl_head"}
    return {"backbone": state} | {
        name: w[f"{head}.weight"] @ state + w[f"{head}.bias"] for name, head in heads.items()
    }


def test_parameter_count_is_the_published_one() -> None:
    assert sum(p.numel() for p in StackedRnn().parameters()) == 1_376_204


def test_state_dict_has_the_published_names_and_shapes() -> None:
    state = StackedRnn().state_dict()
    assert {name: tuple(t.shape) for name, t in state.items()} == SHAPES


@pytest.mark.parametrize("gru_axis", ["channel", "time"])
def test_published_weights_give_what_the_equations_say(gru_axis: Any) -> None:
    weights = published_weights(0)
    encoder = StackedRnn(gru_axis=gru_axis).double()
    encoder.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    x = np.random.default_rng(1).normal(size=(2, 6, 250)) * [[[9], [2], [1], [0.3], [1], [2]]]
    with torch.no_grad():
        got = encoder(torch.from_numpy(x))
    for i in range(2):
        wanted = forward_by_hand(x[i], weights, channel_wise=gru_axis == "channel")
        for name, value in wanted.items():
            np.testing.assert_allclose(getattr(got, name)[i].numpy(), value, rtol=1e-8, atol=1e-10)
            assert torch.equal(got.get(name), getattr(got, name))


@pytest.mark.parametrize(("gru_axis", "samples"), [("channel", 978), ("time", 250)])
def test_max_pooling_gives_what_the_equations_say(gru_axis: Any, samples: int) -> None:
    weights = published_weights(0)
    encoder = StackedRnn(gru_axis=gru_axis, pooling="max").double()
    encoder.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    x = np.random.default_rng(1).normal(size=(1, 6, samples))
    with torch.no_grad():
        got = encoder(torch.from_numpy(x)).backbone[0].numpy()
    wanted = forward_by_hand(x[0], weights, channel_wise=gru_axis == "channel", largest=True)
    np.testing.assert_allclose(got, wanted["backbone"], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("samples", "bins"), [(977, 31), (1005, 33), (250, 5)])
def test_max_pooling_refuses_windows_that_leave_other_bins(samples: int, bins: int) -> None:
    with pytest.raises(UsageError, match=f"978 to 1004 .* got {samples} samples and {bins} bins"):
        StackedRnn(pooling="max")(torch.zeros(1, 6, samples))


@pytest.mark.parametrize("name", ["primus", "multitask", "supervised"])
def test_every_objective_has_the_configured_encoder(name: str) -> None:
    flags = {f"objective.{field}": value for field, value in parse_objective(name).items()}
    config = make_fit_config(flags=flags, overrides=["encoder.pooling=max"])
    objective = make_objective(
        config, channels=6, video_width=4, text_width=4, classes=("cook", "dance")
    )
    with pytest.raises(UsageError, match="got 250 samples and 5 bins"):
        objective.encoder(torch.zeros(1, 6, 250))


def test_max_pooling_takes_every_length_that_leaves_32_bins() -> None:
    encoder = StackedRnn(pooling="max")
    assert [len(encoder(torch.zeros(1, 6, samples))) for samples in (978, 1000, 1004)] == [1] * 3


def test_windows_of_other_lengths_and_channel_counts_fit() -> None:
    assert StackedRnn(channels=12)(torch.randn(1, 12, 500)).multimodal.shape == (1, 512)
