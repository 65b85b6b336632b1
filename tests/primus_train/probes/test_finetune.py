from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from primus_train.config import make_fit_config
from primus_train.data.store import open_store
from primus_train.objectives.base import Objective
from primus_train.objectives.registry import make_objective
from primus_train.probes.config import ProbeConfig
from primus_train.probes.finetune import fit_finetune
from primus_train.probes.labelled import Trial, find_labelled
from primus_train.probes.recipe import first_weight
from primus_train.representation import embed_rows

CONFIG = ProbeConfig(protocol="finetune", min_steps=1, learning_rate=3e-3)
PLACES = np.array([[0, 1, 2, 6, 7, 8]])


@pytest.fixture(scope="module")
def objective() -> Objective:
    config = make_fit_config(overrides=["objective.bank_size=16"])
    return make_objective(config, channels=6, video_width=16, text_width=8).eval()


def tuned(
    objective: Objective, store: Path, *, epochs: int, config: ProbeConfig = CONFIG, **more: Any
) -> list[Trial]:
    data = open_store(str(store))
    asked: dict[str, Any] = {"representation": "backbone", **more}
    return list(
        fit_finetune(
            objective,
            data,
            PLACES,
            (7,),
            data=find_labelled(data, config=config),
            config=config,
            epochs=epochs,
            **asked,
        )
    )


@pytest.mark.slow
def test_from_a_random_start_it_learns_the_classes_and_leaves_the_encoder_alone(
    objective: Objective, toy_store: Path
) -> None:
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    (trial,) = tuned(objective, toy_store, epochs=15)
    truth = find_labelled(open_store(str(toy_store)), config=CONFIG).labels["test"]
    assert float((trial.predicted["test"] == truth).mean()) > 0.8
    for name, value in objective.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_with_steps_of_nothing_the_answer_is_that_of_the_start(
    objective: Objective, toy_store: Path
) -> None:
    config = CONFIG.model_copy(update={"eval_splits": ("train",), "learning_rate": 1e-12})
    store = open_store(str(toy_store))
    rows = find_labelled(store, config=config).rows["train"]
    with torch.no_grad():
        features = objective.encoder(store.imu[torch.from_numpy(rows)]).backbone
        start = features @ first_weight(2, 512, seed=7).T
    (still,) = tuned(objective, toy_store, epochs=1, config=config)
    # A random head on the representation as it is.
    assert still.predicted["train"].tolist() == start.argmax(dim=1).tolist()


def test_all_of_the_encoder_moves(
    objective: Objective, toy_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[set[str]] = []

    def spy(copied: Objective, *args: Any, **more: Any) -> Any:
        now = copied.encoder.state_dict()
        first = objective.encoder.state_dict()
        moved.append({name for name in now if not torch.equal(now[name], first[name])})
        return embed_rows(copied, *args, **more)

    monkeypatch.setattr("primus_train.probes.finetune.embed_rows", spy)
    tuned(objective, toy_store, epochs=1)
    backbone = {name for name in objective.encoder.state_dict() if name.startswith("backbone")}
    # The heads are no part of what the backbone's state says.
    assert moved[-1] == backbone


def test_a_head_of_prompts_measures_cosines_in_their_space(
    objective: Objective, toy_store: Path
) -> None:
    prompts = np.array([[2.0, 0, 0, 0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0, 0, 0]])
    config = CONFIG.model_copy(update={"learning_rate": 1e-12})
    (trial,) = tuned(
        objective,
        toy_store,
        epochs=1,
        config=config,
        representation="multimodal",
        prompts=prompts,
    )
    store = open_store(str(toy_store))
    rows = find_labelled(store, config=config).rows["test"]
    with torch.no_grad():
        multimodal = objective.encoder(store.imu[torch.from_numpy(rows)]).multimodal
        projected = objective.project(multimodal, name="text").numpy()
    wanted = (projected @ prompts.T).argmax(axis=1)
    assert trial.predicted["test"].tolist() == wanted.tolist()


def test_the_same_seed_gives_the_same_answer(objective: Objective, toy_store: Path) -> None:
    found = [tuned(objective, toy_store, epochs=2)[0].predicted["test"] for _ in range(2)]
    np.testing.assert_array_equal(*found)
