"""The ``published`` protocol: the published code's linear head on frozen, normalised features.

The head starts from the classes' prompt embeddings where there are any, else at random; its bias
starts at 0 and its logits have no scale. With few shots it hardly moves from where it starts: 20
steps, 10 of them warm-up (Das et al., their downstream code). All trials are trained as one stack.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.probes.config import ProbeConfig
from primus_train.probes.labelled import ProbeData, Trial
from primus_train.probes.recipe import first_weight, make_recipe, set_rate, shuffled

__all__ = ["fit_published"]

Ints = npt.NDArray[np.int64]


def _unit(features: npt.NDArray[np.floating]) -> Tensor:
    return F.normalize(torch.from_numpy(features).float(), dim=1)


def _predict(features: Tensor, weight: Tensor, bias: Tensor) -> Ints:
    """Return the class (T, m) that each head (T, K, D) gives each of features (m, D)."""
    classes: Ints = (torch.matmul(weight, features.T) + bias[:, :, None]).argmax(dim=1).numpy()
    return classes


def _starts(data: ProbeData, seeds: Sequence[int]) -> Tensor:
    classes, width = len(data.labelled.classes), data.features["train"].shape[1]
    if data.prompts is None:
        return torch.stack([first_weight(classes, width, seed=seed) for seed in seeds])
    return torch.from_numpy(data.prompts).float().repeat(len(seeds), 1, 1)


def fit_published(
    data: ProbeData,
    places: Ints,
    seeds: Sequence[int],
    *,
    config: ProbeConfig,
    epochs: int,
) -> Iterator[Trial]:
    """Yield the trials whose shots lie at ``places`` (T, n), their heads begun from ``seeds``."""
    labels = data.labelled.labels
    features = {split: _unit(values) for split, values in data.features.items()}
    x = features["train"][torch.from_numpy(places)]
    y = torch.from_numpy(labels["train"][places])
    trials, count = y.shape
    weight = _starts(data, seeds).requires_grad_()
    bias = torch.zeros(trials, weight.shape[1], requires_grad=True)
    recipe = make_recipe(config, count=count, epochs=epochs)
    optimizer = torch.optim.AdamW(
        [weight, bias], lr=recipe.optim.learning_rate, weight_decay=recipe.optim.weight_decay
    )
    best = [weight.detach().clone(), bias.detach().clone()]
    right = np.full(trials, -1)
    step = 0
    for epoch in range(recipe.epochs):
        orders = [
            shuffled(count, batch_size=config.batch_size, seed=seed, epoch=epoch) for seed in seeds
        ]
        for chosen in zip(*orders, strict=True):
            rows = torch.from_numpy(np.stack(chosen))
            inputs = torch.take_along_dim(x, rows[:, :, None], dim=1)
            logits = inputs @ weight.transpose(1, 2) + bias[:, None]
            # The mean of each trial's own batch: heads do not know of each other.
            loss = F.cross_entropy(
                logits.flatten(0, 1), torch.take_along_dim(y, rows, dim=1).flatten()
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss * trials)
            set_rate(optimizer, recipe, step=step)
            optimizer.step()
            step += 1
        if recipe.checks(epoch):
            with torch.no_grad():
                now = (_predict(features["val"], weight, bias) == labels["val"]).sum(axis=1)
                # Without validation labels the last check is as good as any, and the one kept.
                better = now > right if len(labels["val"]) else np.ones(trials, dtype=np.bool_)
                right = np.where(better, now, right)
                for kept, value in zip(best, (weight, bias), strict=True):
                    kept[better] = value.detach()[better]
    predicted = {split: _predict(features[split], *best) for split in config.eval_splits}
    for trial in range(trials):
        yield Trial(predicted={split: classes[trial] for split, classes in predicted.items()})
