"""The ``finetune`` protocol: encoder and head together, on the shots alone.

From an untrained encoder this is standard supervised training on the same shots. The training is
the published one (`primus_train.probes.recipe`), with enough steps to leave the start. The head is
a linear layer on the representation as it is; begun from prompt embeddings it measures cosines, so
that there the representation is normalised.
"""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.data.store import StoreData
from primus_train.encoders.stacked_rnn import WIDTH, Embeddings, Representation
from primus_train.objectives.base import Objective
from primus_train.probes.config import ProbeConfig
from primus_train.probes.labelled import Labelled, Trial
from primus_train.probes.recipe import Recipe, first_weight, make_recipe, set_rate, shuffled
from primus_train.representation import embed_rows

__all__ = ["fit_finetune"]

Ints = npt.NDArray[np.int64]


class _Classifier(nn.Module):
    """A copy of an encoder and a linear layer on it."""

    def __init__(
        self,
        objective: Objective,
        *,
        representation: Representation,
        start: Tensor,
        from_prompts: bool,
    ) -> None:
        super().__init__()
        self.objective = copy.deepcopy(objective)
        self.representation: Representation = representation
        self.from_prompts = from_prompts
        device = next(objective.parameters()).device
        self.weight = nn.Parameter(start.to(device, copy=True))
        self.bias = nn.Parameter(torch.zeros(len(start), device=device))

    def classify(self, embeddings: Embeddings) -> Tensor:
        """Return logits (B, K)."""
        value = embeddings.get(self.representation)
        if self.from_prompts:
            value = F.normalize(self.objective.project(value, name="text"), dim=1)
        return F.linear(value, self.weight, self.bias)

    def forward(self, windows: Tensor) -> Tensor:
        return self.classify(self.objective.encoder(windows))

    @torch.no_grad()
    def predict(self, store: StoreData, rows: Ints) -> Ints:
        """Return the class (n,) of each of ``rows`` (n,)."""
        self.eval()
        logits = self.classify(embed_rows(self.objective, store, rows))
        classes: Ints = logits.argmax(dim=1).cpu().numpy()
        return classes


def _train(
    model: _Classifier,
    store: StoreData,
    *,
    rows: Ints,
    labels: Ints,
    data: Labelled,
    recipe: Recipe,
    config: ProbeConfig,
    seed: int,
) -> None:
    """Train ``model`` on ``rows`` and leave it as it was at its best check on validation."""
    # What no path of the loss comes by gets no gradient, and AdamW leaves it alone.
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.optim.learning_rate, weight_decay=recipe.optim.weight_decay
    )
    device = model.bias.device
    targets = torch.from_numpy(labels).to(device)
    best: dict[str, Tensor] | None = None
    most, step = -1, 0
    for epoch in range(recipe.epochs):
        model.train()
        for chosen in shuffled(len(rows), batch_size=config.batch_size, seed=seed, epoch=epoch):
            windows = store.imu[torch.from_numpy(rows[chosen])].to(device)
            loss = F.cross_entropy(model(windows), targets[torch.from_numpy(chosen).to(device)])
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            set_rate(optimizer, recipe, step=step)
            optimizer.step()
            step += 1
        if len(data.labels["val"]) and recipe.checks(epoch):
            right = int((model.predict(store, data.rows["val"]) == data.labels["val"]).sum())
            if right > most:
                most = right
                best = {name: value.clone() for name, value in model.state_dict().items()}
    if best is not None:
        model.load_state_dict(best)


def fit_finetune(
    objective: Objective,
    store: StoreData,
    places: Ints,
    seeds: Sequence[int],
    *,
    data: Labelled,
    config: ProbeConfig,
    epochs: int,
    representation: Representation,
    prompts: npt.NDArray[np.floating] | None = None,
) -> Iterator[Trial]:
    """Yield the trials whose shots lie at ``places`` (T, n), one training each.

    Args:
        objective: whose encoder every trial begins from; it stays as it is.
        store: the version.
        places: in the train windows of ``data``.
        seeds: of each trial's head and order.
        data: the labelled windows.
        config: the protocol.
        epochs: at least.
        representation: what the head sees.
        prompts: (K, Dt) where the head starts; None starts it at random.
    """
    classes = len(data.classes)
    for chosen, seed in zip(places, seeds, strict=True):
        if prompts is None:
            start = first_weight(classes, WIDTH, seed=seed)
        else:
            start = torch.from_numpy(prompts).float()
        model = _Classifier(
            objective,
            representation=representation,
            start=start,
            from_prompts=prompts is not None,
        )
        _train(
            model,
            store,
            rows=data.rows["train"][chosen],
            labels=data.labels["train"][chosen],
            data=data,
            recipe=make_recipe(
                config, count=len(chosen), epochs=epochs, min_steps=config.min_steps
            ),
            config=config,
            seed=seed,
        )
        yield Trial(
            predicted={
                split: model.predict(store, data.rows[split]) for split in config.eval_splits
            }
        )
