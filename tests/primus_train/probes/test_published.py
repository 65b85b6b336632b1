import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from primus_train.probes.config import ProbeConfig
from primus_train.probes.labelled import Labelled, ProbeData, Trial
from primus_train.probes.published import fit_published
from primus_train.probes.recipe import first_weight, make_recipe, set_rate, shuffled


def made(*, val: int = 12, prompts: bool = False, noise: float = 1.0) -> ProbeData:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 6))
    labels = {name: np.arange(n) % 3 for name, n in (("train", 30), ("val", val), ("test", 30))}
    return ProbeData(
        labelled=Labelled(classes=("a", "b", "c"), rows={}, labels=labels, takes=labels["train"]),
        features={
            name: (3 * (centres[y] + noise * rng.normal(size=(len(y), 6)))).astype(np.float32)
            for name, y in labels.items()
        },
        prompts=centres / np.linalg.norm(centres, axis=1, keepdims=True) if prompts else None,
    )


PLACES = np.stack([np.random.default_rng(seed).permutation(30)[:12] for seed in (1, 2)])
CONFIG = ProbeConfig(protocol="published", learning_rate=0.01, batch_size=8)


def one_by_one(data: ProbeData, places: npt.NDArray[np.int64], seed: int, epochs: int) -> list[int]:
    """Train one head with torch's own layer, and score the best check."""
    y = torch.from_numpy(data.labelled.labels["train"])
    unit = {n: torch.nn.functional.normalize(torch.from_numpy(f)) for n, f in data.features.items()}
    layer = nn.Linear(6, 3)
    with torch.no_grad():
        start = first_weight(3, 6, seed=seed)
        layer.weight.copy_(start if data.prompts is None else torch.from_numpy(data.prompts))
        layer.bias.zero_()
    recipe = make_recipe(CONFIG, count=len(places), epochs=epochs)
    optimizer = torch.optim.AdamW(layer.parameters(), weight_decay=1e-4)
    step, most, said = 0, -1, []
    for epoch in range(epochs):
        for chosen in shuffled(len(places), batch_size=8, seed=seed, epoch=epoch):
            rows = places[chosen]
            loss = nn.functional.cross_entropy(layer(unit["train"][rows]), y[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            set_rate(optimizer, recipe, step=step)
            optimizer.step()
            step += 1
        right = int((layer(unit["val"]).argmax(1).numpy() == data.labelled.labels["val"]).sum())
        if recipe.checks(epoch) and right > most:
            most, said = right, layer(unit["test"]).argmax(1).tolist()
    return said


def fitted(data: ProbeData, epochs: int, *, config: ProbeConfig = CONFIG) -> list[Trial]:
    return list(fit_published(data, PLACES, (5, 6), config=config, epochs=epochs))


@pytest.mark.parametrize("prompts", [False, True])
def test_the_stack_is_trained_like_each_head_alone(prompts: bool) -> None:
    data = made(prompts=prompts)
    found = fitted(data, 20)
    for trial, places, seed in zip(found, PLACES, (5, 6), strict=True):
        assert trial.predicted["test"].tolist() == one_by_one(data, places, seed, 20)
    differ = found[0].predicted["test"].tolist() != found[1].predicted["test"].tolist()
    assert differ or prompts


def test_with_a_few_small_steps_the_prompts_still_decide() -> None:
    data = made(prompts=True, noise=0.3)
    config = ProbeConfig(protocol="published")
    unit = data.features["test"] / np.linalg.norm(data.features["test"], axis=1, keepdims=True)
    assert data.prompts is not None
    zero_shot = (unit @ data.prompts.T).argmax(axis=1)
    right = float((zero_shot == data.labelled.labels["test"]).mean())
    for trial in fitted(data, 20, config=config):
        same = float((trial.predicted["test"] == zero_shot).mean())
        assert same > 0.9
        assert right > 0.9


def test_without_validation_labels_the_last_epoch_is_kept() -> None:
    data = made(val=0)
    found = fitted(data, 60)
    truth = data.labelled.labels["test"]
    assert min(float((t.predicted["test"] == truth).mean()) for t in found) > 0.5
    assert [t.strength for t in found] == [None, None]


def test_epochs_and_rate_are_read() -> None:
    data = made()
    said = [
        [t.predicted["test"].tolist() for t in fitted(data, epochs, config=config)]
        for epochs, config in (
            (5, CONFIG),
            (60, CONFIG),
            (5, CONFIG.model_copy(update={"learning_rate": 1.0})),
            (5, CONFIG.model_copy(update={"weight_decay": 100.0})),
        )
    ]
    assert said[0] != said[1]
    assert said[0] != said[2]
    assert said[0] != said[3]
