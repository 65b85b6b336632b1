import math

import pytest
import torch

from primus_train.probes.config import ProbeConfig
from primus_train.probes.recipe import (
    first_weight,
    make_recipe,
    published_epochs,
    set_rate,
    shuffled,
)


def rates(count: int, *, epochs: int) -> list[float]:
    recipe = make_recipe(ProbeConfig(), count=count, epochs=epochs)
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    found = []
    for step in range(recipe.steps):
        set_rate(optimizer, recipe, step=step)
        found.append(float(optimizer.param_groups[0]["lr"]))
    return found


def test_rates_rise_for_ten_steps_and_fall_as_a_cosine() -> None:
    found = rates(8, epochs=20)
    assert len(found) == 20
    assert found[:10] == pytest.approx([1e-4 * (i + 1) / 11 for i in range(10)])
    wanted = [1e-4 * (1 + math.cos(math.pi * i / 10)) / 2 for i in range(10)]
    assert found[10:] == pytest.approx(wanted)


def test_long_trainings_warm_up_for_a_hundredth() -> None:
    found = rates(256 * 100, epochs=20)
    assert len(found) == 2000
    assert found.index(max(found)) == 20
    assert found[19] == pytest.approx(1e-4 * 20 / 21)


def test_a_training_of_warm_up_alone_has_a_rate_at_every_step() -> None:
    assert rates(8, epochs=10) == pytest.approx([1e-4 * (i + 1) / 11 for i in range(10)])


@pytest.mark.parametrize(
    ("count", "min_steps", "epochs", "steps", "checks"),
    [
        (256, 1, 20, 20, [4, 9, 14, 19]),
        (257, 1, 20, 40, [4, 9, 14, 19]),
        (8, 200, 200, 200, [49, 99, 149, 199]),
        (4000, 200, 20, 320, [4, 9, 14, 19]),
        (8, 30, 30, 30, [6, 13, 20, 27, 29]),
    ],
)
def test_steps_and_checks(
    count: int, min_steps: int, epochs: int, steps: int, checks: list[int]
) -> None:
    recipe = make_recipe(ProbeConfig(), count=count, epochs=20, min_steps=min_steps)
    assert (recipe.epochs, recipe.steps) == (epochs, steps)
    assert [epoch for epoch in range(epochs) if recipe.checks(epoch)] == checks


def test_epochs_are_the_papers() -> None:
    found = {name: published_epochs(name) for name in ("egoexo4d", "realworld", "ego4d", "mine")}
    assert found == {"egoexo4d": 20, "realworld": 50, "ego4d": 10, "mine": 20}


def test_an_epoch_visits_every_shot_once_in_its_own_order() -> None:
    epochs = [list(shuffled(10, batch_size=4, seed=0, epoch=epoch)) for epoch in (0, 0, 1)]
    assert [len(batch) for batch in epochs[0]] == [4, 4, 2]
    flat = [[int(i) for batch in epoch for i in batch] for epoch in epochs]
    assert all(sorted(order) == list(range(10)) for order in flat)
    assert flat[0] == flat[1] != flat[2]


def test_heads_start_as_torch_starts_a_linear_layer() -> None:
    start = first_weight(64, 100, seed=3)
    assert float(start.abs().max()) <= 0.1
    # Uniform on [-0.1, 0.1]; of 6400 draws.
    assert float(start.std()) == pytest.approx(0.1 / math.sqrt(3), rel=0.03)
    assert float(start.mean()) == pytest.approx(0, abs=4 * 0.0577 / 80)
    assert torch.equal(start, first_weight(64, 100, seed=3))
    assert not torch.equal(start, first_weight(64, 100, seed=4))
