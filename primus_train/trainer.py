"""Everything a training step changes, and how it goes to a checkpoint and comes back."""

import math
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from primus_train.checkpoint import Checkpoint, write_checkpoint
from primus_train.config import FitConfig
from primus_train.data.store import StoreData
from primus_train.data.triplets import Triplets
from primus_train.distributed import SOLO, Ranks
from primus_train.losses.temperature import Temperature
from primus_train.objectives.registry import make_objective
from primus_train.optimizer import make_optimizer, set_learning_rate
from primus_train.precision import product_precision
from primus_train.representation import embedding_spec, imu_spec
from primus_train.schedule import learning_rate
from primus_train.seeds import derive_seed
from primus_train.step import make_step
from schemas.errors import PrimusError, UsageError
from schemas.mask import MaskRecord

__all__ = ["Trainer"]

_READ_EVERY: Final = 100
"""Steps whose losses may wait unread; at this pace waiting for the device costs nothing."""
_ADVICE: Final = "lower optim.learning_rate or look for damaged windows"


def _digest(mask: MaskRecord | None) -> str | None:
    return None if mask is None else mask.sha256


class Trainer:
    """Objective, optimiser and counters of a run.

    The losses of steps stay on the device until `read` fetches them all at once, so that the host
    can run ahead. Nothing is saved before they, and the weights, have been found finite.

    Args:
        store: whose rows are trained on.
        config: the run's config.
        device: where to compute.
        steps: of the whole run; a schedule needs to know.
        classes: the version's labels in order.
        ranks: the processes that train together; rank 0 alone writes files.

    Attributes:
        run: the run's key.
        step: optimiser steps done.
        loss: of the latest step that was read.
        best: ``{"metric", "value", "epoch"}`` of the best weights so far.
    """

    def __init__(
        self,
        store: StoreData,
        *,
        config: FitConfig,
        device: torch.device,
        steps: int,
        classes: Sequence[str] = (),
        ranks: Ranks = SOLO,
    ) -> None:
        self.config = config
        self.device = device
        self.widths = {"video": int(store.video.shape[1]), "text": int(store.text.shape[1])}
        self.version, self.mask = store.version, store.mask
        self.run = config.key(version=store.version, mask_sha256=_digest(store.mask))
        self.imu = imu_spec(store)
        self.embedding = embedding_spec(store)
        self.classes = tuple(classes)
        self.steps = steps
        self._ranks = ranks
        self.objective = make_objective(
            config,
            channels=int(store.imu.shape[1]),
            video_width=self.widths["video"],
            text_width=self.widths["text"],
            classes=self.classes,
        ).to(device)
        self.optimizer = make_optimizer(self.objective, config=config, device=device)
        self.step = 0
        self.loss = math.nan
        self.best: dict[str, Any] | None = None
        self._take = make_step(
            self.objective, self.optimizer, config=config, device=device, ranks=ranks
        )
        self._draws = torch.Generator()
        self._unread: list[torch.Tensor] = []
        self._outcome: dict[str, torch.Tensor] = {}

    def _meta(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "best": self.best,
            "config": self.config.model_dump(mode="json"),
            "imu": self.imu,
            "embedding": self.embedding,
            "widths": self.widths,
            "classes": list(self.classes),
            "run": self.run,
            "version": self.version,
            "mask": None if self.mask is None else self.mask.spec.name,
            "mask_sha256": _digest(self.mask),
            "mask_spec": None if self.mask is None else self.mask.spec.model_dump(mode="json"),
        }

    def _model(self) -> dict[str, torch.Tensor]:
        return {f"model.{name}": t for name, t in self.objective.state_dict().items()}

    def save_last(self, path: Path) -> None:
        """Write all that later steps depend on.

        Raises:
            PrimusError: if a loss or weight is not finite; the file stays as it was.
        """
        self.check()
        tensors = self._model()
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
        self._write(path, tensors)

    def save_best(self, path: Path) -> None:
        """Write the weights.

        Raises:
            PrimusError: if a loss or weight is not finite; the file stays as it was.
        """
        self.check()
        tensors = {n: t for n, t in self._model().items() if not n.startswith("model.bank.")}
        self._write(path, tensors)

    def _write(self, path: Path, tensors: dict[str, torch.Tensor]) -> None:
        if self._ranks.first:
            write_checkpoint(path, Checkpoint(tensors=tensors, meta=self._meta()))

    def load(self, checkpoint: Checkpoint) -> None:
        """Go on from what ``save_last`` wrote.

        Raises:
            UsageError: if that was on another version or under another mask.
        """
        meta = checkpoint.meta
        for name, now in (("version", self.version), ("mask_sha256", _digest(self.mask))):
            # Checkpoints written before masks were told by their digest name them alone.
            if name in meta and meta[name] != now:
                raise UsageError(
                    f"a run must go on with the {name} it began with, {meta[name]}, got {now}: "
                    "name that version and mask, or begin another run"
                )
        self.objective.load_state_dict(checkpoint.part("model"))
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in checkpoint.part("adam").items():
            index, _, field = name.partition(".")
            state.setdefault(int(index), {})[field] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.step = int(checkpoint.meta["step"])
        loss = checkpoint.meta["loss"]
        self.loss = math.nan if loss is None else float(loss)
        self.best = checkpoint.meta["best"]

    def train_step(self, triplets: Triplets, rows: npt.NDArray[np.int64]) -> None:
        """Take one optimiser step on ``rows`` (B,); its losses are read later."""
        batch = triplets.batch(rows)
        # Seeded by the step: a resumed run draws what it would have drawn.
        self._draws.manual_seed(derive_seed(self.config.seed, "view", self.step))
        view = self.objective.make_view(batch.imu, generator=self._draws)
        set_learning_rate(self.optimizer, self.learning_rate(self.step))
        with product_precision(self.config.optim.precision, device=self.device):
            self._outcome = self._take(batch, view=view)
        self._unread.append(self._outcome["loss"])
        self.step += 1
        if len(self._unread) >= _READ_EVERY:
            self.read()

    def learning_rate(self, step: int) -> float:
        """Return the rate of ``step``, counted from 0."""
        return learning_rate(self.config.optim, step=step, steps=self.steps)

    def read(self) -> dict[str, float]:
        """Return the loss and its parts of the latest step, once all steps' losses are finite.

        Raises:
            PrimusError: with the first step whose loss is not finite.
        """
        if not self._unread:
            return {}
        names = list(self._outcome)
        # One transfer for all that waits.
        values = torch.stack([*self._unread, *self._outcome.values()]).tolist()
        losses, latest = values[: len(self._unread)], values[len(self._unread) :]
        first = self.step - len(losses)
        self._unread = []
        for step, loss in enumerate(losses, start=first):
            if not math.isfinite(loss):
                raise PrimusError(f"loss must be finite, got {loss} at step {step}: {_ADVICE}")
        self.loss = losses[-1]
        return dict(zip(names, latest, strict=True))

    def check(self) -> None:
        """Read the losses that wait and look at the weights.

        Raises:
            PrimusError: if one of them is not finite.
        """
        self.read()
        for name, value in self._model().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise PrimusError(
                    f"weights must be finite, got NaN or infinity in {name} after "
                    f"{self.step} steps: {_ADVICE}"
                )

    def check_ranks(self) -> None:
        """Compare the weights of all ranks.

        Raises:
            PrimusError: on all ranks, if they differ.
        """
        if self._ranks.size == 1:
            return
        digest = sha256()
        for weight in self.objective.parameters():
            digest.update(weight.detach().cpu().numpy().tobytes())
        if not self._ranks.same(digest.hexdigest()):
            raise PrimusError(
                f"weights must be equal on all {self._ranks.size} ranks, they differ after "
                f"{self.step} steps: train on devices of one kind, with one build of torch"
            )

    def temperatures(self) -> dict[str, float]:
        """Return the objective's temperatures by name.

        Raises:
            PrimusError: if one is not finite.
        """
        with torch.no_grad():
            found = {
                name: float(module())
                for name, module in self.objective.named_modules()
                if isinstance(module, Temperature)
            }
        for name, value in found.items():
            if not math.isfinite(value):
                raise PrimusError(
                    f"{name} must be finite, got {value} after {self.step} steps: {_ADVICE}"
                )
        return found
