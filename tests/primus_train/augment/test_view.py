from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from primus_train import augment
from primus_train.config import TransformName, ViewConfig, make_fit_config
from schemas.errors import UsageError

Windows = Callable[..., Tensor]
Generator = Callable[..., torch.Generator]

NAMES: tuple[TransformName, ...] = get_args(TransformName)
DRAWN = [name for name in NAMES if name != "inversion"]


def view_of(
    x: Tensor, name: str, generator: torch.Generator, *, always: bool = False, **fields: object
) -> Tensor:
    config = ViewConfig.model_validate({"transforms": (name,), **fields})
    return augment.make_view(x, config=config, generator=generator, always=always)


@pytest.mark.parametrize("name", DRAWN)
def test_draws_come_from_the_generator_alone_and_leave_the_input(
    windows: Windows, g: Generator, name: str
) -> None:
    x = windows(B=16)
    kept = x.clone()
    one, again, two = (view_of(x, name, g(s), reversal_probability=0.5) for s in (1, 1, 2))
    assert torch.equal(x, kept)
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    assert one.dtype == x.dtype


@pytest.mark.parametrize("name", DRAWN)
def test_channels_and_time_are_not_interchangeable(
    windows: Windows, g: Generator, name: str
) -> None:
    x = windows(B=8, C=6, T=6)
    right = view_of(x, name, g())
    swapped = view_of(x.transpose(1, 2), name, g()).transpose(1, 2)
    assert not torch.allclose(right, swapped)


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_transformed_apart_from_each_other(
    windows: Windows, g: Generator, name: str
) -> None:
    x = windows(B=8)
    other = x.clone()
    other[3] = 100
    changed = (view_of(x, name, g()) != view_of(other, name, g())).any(dim=(1, 2))
    assert changed.tolist() == [i == 3 for i in range(8)]


@pytest.mark.parametrize("name", NAMES)
def test_what_must_move_never_stays(windows: Windows, g: Generator, name: str) -> None:
    x = windows(B=300, C=3, T=12)
    out = view_of(x, name, g(), always=True, reversal_probability=0.1, pieces=2)
    assert not (out == x).all(dim=(1, 2)).any()


def test_the_view_applies_its_transforms_in_order(windows: Windows, g: Generator) -> None:
    x = windows()
    config = ViewConfig(transforms=("inversion", "scaling", "time_reversal"))
    by_hand = augment.scaling(-x, sigma=0.25, generator=g()).flip(2)
    assert torch.equal(augment.make_view(x, config=config, generator=g()), by_hand)


@pytest.mark.parametrize(
    ("transform", "change"),
    [
        ("scaling", {"scaling_sigma": 0.5}),
        ("step_scaling", {"scaling_sigma": 0.5}),
        ("time_reversal", {"reversal_probability": 0.0}),
        ("jitter", {"jitter_sigma": 0.5}),
        ("segment_permutation", {"pieces": 7}),
        ("rotation", {"rotation_shared": False}),
        ("time_warp", {"warp_knots": 7}),
        ("time_warp", {"warp_sigma": 0.5}),
    ],
)
def test_each_view_setting_reaches_its_transform(
    windows: Windows, g: Generator, transform: str, change: dict[str, float]
) -> None:
    x = windows()
    assert not torch.equal(view_of(x, transform, g(), **change), view_of(x, transform, g()))


def test_the_default_is_the_papers_chain() -> None:
    paper = ViewConfig.model_validate({"chain": "primus"})
    assert paper == ViewConfig()
    assert paper.transforms == ("scaling", "time_reversal")


def test_the_published_chain_is_a_gain_an_instant_and_a_shuffle_between_four_cuts(
    windows: Windows, g: Generator
) -> None:
    config = make_fit_config(overrides=["view.chain=published"]).view
    assert "chain" not in config.model_dump()
    x = windows(B=20)
    generator = g()
    by_hand = augment.segment_permutation(
        augment.step_scaling(x, sigma=0.25, generator=generator), pieces=5, generator=generator
    )
    assert torch.equal(augment.make_view(x, config=config, generator=g()), by_hand)


def test_fields_beside_a_chain_win() -> None:
    config = make_fit_config(overrides=["view.chain=published", "view.pieces=9"]).view
    assert config.pieces == 9
    assert config.transforms == ("step_scaling", "segment_permutation")


@pytest.mark.parametrize("chain", ["mine", "[primus]"])
def test_a_chain_without_a_name_is_refused(chain: str) -> None:
    with pytest.raises(UsageError, match="chain must be primus or published, got"):
        make_fit_config(overrides=[f"view.chain={chain}"])
