from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from primus_train.config import FitConfig, make_fit_config
from primus_train.data.store import open_store
from primus_train.data.triplets import Triplets
from primus_train.objectives.registry import make_objective
from primus_train.validation import is_better, score, validate
from schemas.errors import PrimusError


def objective_of(*overrides: str) -> Any:
    config = make_fit_config(overrides=["objective.bank_size=8", *overrides])
    return make_objective(config, channels=6, video_width=16, text_width=8)


def test_validation_weighs_batches_by_rows_and_changes_nothing(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    objective = objective_of("objective.terms=[mm]").train()
    before = {name: t.clone() for name, t in objective.state_dict().items()}
    rows = store.rows(splits=("val",))
    triplets = Triplets(store)
    got = validate(objective, triplets, rows, batch_size=5)
    assert objective.training
    assert all(torch.equal(before[n], t) for n, t in objective.state_dict().items())
    with torch.no_grad():
        by_hand = [
            (len(part), float(objective(triplets.batch(part)).total))
            for part in (rows[:5], rows[5:10], rows[10:])
        ]
    assert [n for n, _ in by_hand] == [5, 5, 2]
    assert got["loss"] == pytest.approx(sum(n * x for n, x in by_hand) / 12, rel=1e-4)
    assert got["loss"] == pytest.approx(got["mm_video"] + got["mm_text"], rel=1e-5)
    # Weights are chosen by what windows find, whatever else is measured.
    assert set(got["retrieval"]) == {"imu_to_video", "imu_to_text"}
    assert set(got["sphere"]["alignment"]) == {"imu_video", "imu_text"}
    assert set(got["sphere"]["uniformity"]) == {"imu", "imu_in_video", "imu_in_text"}


def test_a_loss_that_is_not_finite_is_named(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    rows = store.rows(splits=("val",))
    objective = objective_of("objective.terms=[ss]").train()
    assert isinstance(store.imu, torch.Tensor)
    store.imu[int(rows[3])] = 3e38
    with pytest.raises(PrimusError, match=r"validation loss must be finite, got \w+: .* 12 rows"):
        validate(objective, Triplets(store), rows, batch_size=5)


def test_weights_are_chosen_by_retrieval_else_loss_else_last() -> None:
    both = {"loss": 3.0, "retrieval": {"a": {"mrr": 0.25}, "b": {"mrr": 0.75}}}
    assert score(both, epoch=2) == {"metric": "mrr", "value": 0.5, "epoch": 2}
    assert score({"loss": 3.0}, epoch=1) == {"metric": "loss", "value": 3.0, "epoch": 1}
    assert score({"loss": 3.0, "retrieval": {}}, epoch=1)["metric"] == "loss"
    assert score(None, epoch=4) == {"metric": "last", "value": 4.0, "epoch": 4}


@pytest.mark.parametrize(
    ("metric", "new", "best", "better"),
    [
        ("mrr", 0.5, 0.4, True),
        ("mrr", 0.5, 0.5, False),
        ("loss", 0.5, 0.4, False),
        ("loss", 0.3, 0.4, True),
        ("last", 2.0, 1.0, True),
    ],
)
def test_better_means_lower_loss_or_higher_anything_else(
    metric: str, new: float, best: float, better: bool
) -> None:
    def made(value: float) -> dict[str, Any]:
        return {"metric": metric, "value": value, "epoch": 0}

    assert is_better(made(new), made(best)) is better
    assert is_better(made(new), None)


def test_objectives_without_mm_are_not_scored_by_retrieval(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    objective = objective_of("objective.terms=[ss]")
    got = validate(objective, Triplets(store), np.arange(24, 36), batch_size=12)
    assert set(got) == {"loss", "ss", "sphere"}
    assert got["sphere"]["alignment"] == {}
    assert set(got["sphere"]["uniformity"]) == {"imu"}
    assert FitConfig().objective.representation == "multimodal"
