from typing import get_args

import pytest
import torch

from primus_train.config import OBJECTIVES, FitConfig, ObjectiveKind, parse_objective
from primus_train.objectives.base import Objective
from primus_train.objectives.multitask import MultitaskObjective
from primus_train.objectives.primus import PrimusObjective
from primus_train.objectives.registry import make_objective
from primus_train.objectives.supervised import SupervisedObjective


def made(name: str, *, seed: int = 0) -> Objective:
    config = FitConfig.model_validate(
        {"objective": {"bank_size": 8, **parse_objective(name)}, "seed": seed}
    )
    return make_objective(config, channels=6, video_width=5, text_width=4, classes=("a", "b"))


@pytest.mark.parametrize(
    ("name", "kind", "aligned", "learns", "representation"),
    [
        ("primus", PrimusObjective, ("video", "text"), ("video", "text"), "multimodal"),
        ("simclr", PrimusObjective, (), (), "backbone"),
        ("imu2clip", PrimusObjective, ("video", "text"), ("video", "text"), "multimodal"),
        ("imu2clip-video", PrimusObjective, ("video",), ("video",), "multimodal"),
        ("imu2clip-text", PrimusObjective, ("text",), ("text",), "multimodal"),
        ("multitask", MultitaskObjective, (), (), "backbone"),
        ("supervised", SupervisedObjective, (), (), "backbone"),
        ("ss+nn", PrimusObjective, (), (), "backbone"),
        ("mm+nn", PrimusObjective, ("video", "text"), ("video", "text"), "multimodal"),
    ],
)
def test_a_name_makes_its_objective(
    name: str,
    kind: type[Objective],
    aligned: tuple[str, ...],
    learns: tuple[str, ...],
    representation: str,
) -> None:
    objective = made(name)
    assert type(objective) is kind
    assert objective.aligned_with == aligned
    assert objective.learns_from == learns
    assert objective.representation == representation


def test_every_kind_and_every_name_makes_something() -> None:
    kinds = {FitConfig.model_validate({"objective": v}).objective.kind for v in OBJECTIVES.values()}
    assert kinds == set(get_args(ObjectiveKind))
    for name in OBJECTIVES:
        assert made(name).encoder is not None


def test_first_weights_depend_on_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    torch.manual_seed(7)
    one = made("primus").state_dict()
    torch.manual_seed(8)
    state = torch.random.get_rng_state()
    again, other = made("primus").state_dict(), made("primus", seed=1).state_dict()
    # Making one leaves torch's own generator where it was.
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.random.set_rng_state(before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["encoder.ssl_head.weight"], other["encoder.ssl_head.weight"])


def test_all_objectives_of_a_seed_begin_with_one_encoder() -> None:
    first = made("primus").encoder.state_dict()
    for name in ("simclr", "imu2clip", "multitask", "supervised"):
        state = made(name).encoder.state_dict()
        assert all(torch.equal(first[key], state[key]) for key in first), name
