"""How the published code trains heads (and encoders) on shots, as numbers.

AdamW, a warm-up of max(T / 100, 10) steps, then a cosine down to nothing over T steps; validation
every few epochs, and the best of these checks is what is scored.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from primus_train.config import OptimConfig
from primus_train.probes.config import ProbeConfig
from primus_train.schedule import learning_rate
from primus_train.seeds import derive_seed, make_generator

__all__ = ["Recipe", "first_weight", "make_recipe", "published_epochs", "set_rate", "shuffled"]

_EPOCHS: Final = {"egoexo4d": 20, "realworld": 50, "ego4d": 10}
_CHECK_EVERY: Final = 5
_FEWEST_CHECKS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training: its length, its rates, and the epochs after which it is checked."""

    epochs: int
    steps: int
    optim: OptimConfig
    check_every: int

    def checks(self, epoch: int) -> bool:
        """Whether validation follows ``epoch``, which counts from 0; it does the last one."""
        return (epoch + 1) % self.check_every == 0 or epoch + 1 == self.epochs


def published_epochs(dataset: str) -> int:
    """Return the paper's epochs on a dataset."""
    return _EPOCHS.get(dataset, _EPOCHS["egoexo4d"])


def make_recipe(config: ProbeConfig, *, count: int, epochs: int, min_steps: int = 1) -> Recipe:
    """Return the training on ``count`` shots: ``epochs`` of them, more where steps are too few."""
    per_epoch = -(-count // config.batch_size)
    epochs = max(epochs, -(-min_steps // per_epoch))
    steps = epochs * per_epoch
    optim = OptimConfig(
        optimizer="adamw",
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        schedule="cosine",
        warmup_steps=max(steps // 100, 10),
    )
    # Long trainings on few shots are checked as often as the published 20 epochs are.
    most = max(_CHECK_EVERY, epochs // _FEWEST_CHECKS if min_steps > 1 else 0)
    return Recipe(epochs=epochs, steps=steps, optim=optim, check_every=most)


def set_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, *, step: int) -> None:
    """Give ``optimizer`` the rate of the step after ``step`` steps."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(recipe.optim, step=step, steps=recipe.steps)


def shuffled(
    count: int, *, batch_size: int, seed: int, epoch: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the batches of one epoch, the last one as short as it is."""
    order = np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(count)
    for start in range(0, count, batch_size):
        yield order[start : start + batch_size]


def first_weight(classes: int, width: int, *, seed: int) -> Tensor:
    """Return the start (K, D) of a head without prompts, as torch starts a linear layer."""
    bound = width**-0.5
    draws = torch.rand(classes, width, generator=make_generator(seed, "head"))
    start: Tensor = (2 * draws - 1) * bound
    return start
