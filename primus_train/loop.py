"""The training loop: plain steps, resumable to the bit."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from primus_train.checkpoint import read_checkpoint
from primus_train.config import FitConfig
from primus_train.data.control import permuted_video
from primus_train.data.store import StoreData
from primus_train.data.triplets import Triplets, epoch_order
from primus_train.distributed import SOLO, Ranks
from primus_train.metrics import MetricsLog
from primus_train.objectives.base import Objective
from primus_train.seeds import derive_seed
from primus_train.stopping import StopRequest, is_worn_out
from primus_train.trainer import Trainer
from primus_train.validation import is_better, score, validate
from schemas.errors import UsageError
from schemas.modality import MODALITIES

__all__ = ["BEST", "LAST", "FitState", "pretrain"]

LAST: Final = "last.pt"
BEST: Final = "best.pt"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitState:
    """Where a run stands.

    Attributes:
        step: optimiser steps done.
        steps: of the whole run.
        epoch: epochs begun.
        loss: of the latest step whose loss was read: steps do not wait for theirs.
        train_rows: rows of the train split with an IMU window.
        val_rows: the same of the val split.
        best: ``{"metric", "value", "epoch"}`` of the best weights so far.
        finished: whether the run is complete, the last validation too: all steps done, or ended
            early by its patience. False in what ``on_step`` gets.
        stopped_by: number of the signal that stopped it before that; 0 for none.
    """

    step: int
    steps: int
    epoch: int
    loss: float
    train_rows: int
    val_rows: int
    best: dict[str, Any] | None
    finished: bool
    stopped_by: int


def pretrain(
    store: StoreData,
    *,
    config: FitConfig,
    out: Path,
    device: torch.device | None = None,
    resume: bool = False,
    stop_after: int | None = None,
    on_step: Callable[[FitState], None] | None = None,
    ranks: Ranks = SOLO,
    stop: StopRequest | None = None,
) -> FitState:
    """Train on the store's train split into ``out``; the val split chooses ``best.pt``.

    Rows are visited in an order that depends on (seed, epoch) alone. An epoch has as many steps as
    the train split has whole batches; where the objective can learn from some of its rows only,
    such as from those that a mask does not hide, it goes over these as often as they are fewer.
    ``last.pt`` holds all that later steps depend on, bank included.

    Args:
        store: the version, under its mask.
        config: the run's config.
        out: the run's folder; gets last.pt, best.pt, metrics.jsonl and tensorboard/.
        device: where to compute; CPU if None.
        resume: go on from last.pt where there is one.
        stop_after: stop once this many steps of the run are done, with last.pt written.
        on_step: called after every step.
        ranks: the processes that call this together; rank 0 alone writes files.
        stop: asks the loop, and by one rank all of them, to end after a step, with last.pt written.

    Returns:
        The state at the end.

    Raises:
        UsageError: if the train split has fewer rows than one batch that the objective can learn
            from, or none with the video or text that it learns from, the device cannot do what
            ``config.optim`` asks for, or there are no val rows for ``patience`` to go by.
        PrimusError: if a loss or weight is not finite, once it is read; no checkpoint holds it.
        StorageError: if another rank is gone.
    """
    device = device or torch.device("cpu")
    plan = _plan(store, config)
    video_of = None
    if config.data.permute_video != "none":
        seed = derive_seed(config.seed, "permute_video")
        across = config.data.permute_video
        video_of = permuted_video(store, plan.train_rows, across=across, seed=seed)
    triplets = Triplets(store, video_of=video_of, device=device, place=config.data.place)
    trainer = Trainer(
        store, config=config, device=device, steps=plan.steps, classes=triplets.classes, ranks=ranks
    )
    _refuse_missing_targets(store, plan.train_rows, objective=trainer.objective)
    taught_by = _teaching_rows(store, plan.train_rows, trainer=trainer)
    if resume and (out / LAST).is_file():
        trainer.load(read_checkpoint(out / LAST))
    ranks.agree("the step to go on from", str(trainer.step))
    stopped_by = 0

    def state(*, inside: bool = False) -> FitState:
        finished = not inside and _is_finished(trainer, plan=plan)
        return FitState(
            step=trainer.step,
            steps=plan.steps,
            epoch=-(-trainer.step // plan.steps_per_epoch),
            loss=trainer.loss,
            train_rows=len(plan.train_rows),
            val_rows=len(plan.val_rows),
            best=trainer.best,
            finished=finished,
            stopped_by=0 if finished else stopped_by,
        )

    last_step = plan.steps if stop_after is None else min(plan.steps, stop_after)
    trainer.objective.train()
    out.mkdir(parents=True, exist_ok=True)
    with MetricsLog(out, from_step=trainer.step, silent=not ranks.first) as log:
        while trainer.step < last_step and not _is_finished(trainer, plan=plan) and not stopped_by:
            epoch, place = divmod(trainer.step, plan.steps_per_epoch)
            order = epoch_order(
                taught_by,
                seed=config.seed,
                epoch=epoch,
                batch_size=config.data.batch_size,
                steps=plan.steps_per_epoch,
            )
            for rows in order[place : place + last_step - trainer.step]:
                trainer.train_step(triplets, rows)
                if trainer.step % config.log_every_steps == 0 or trainer.step == plan.steps:
                    values = trainer.read() | trainer.temperatures()
                    values["learning_rate"] = trainer.learning_rate(trainer.step - 1)
                    log.write("train", step=trainer.step, epoch=epoch, values=values)
                if on_step is not None:
                    on_step(state(inside=True))
                stopped_by = ranks.largest(0 if stop is None else stop.signal)
                if stopped_by:
                    break
                # At an epoch's end the checkpoint waits for the validation.
                inside = trainer.step % plan.steps_per_epoch != 0
                if inside and trainer.step % config.checkpoint_every_steps == 0:
                    trainer.save_last(out / LAST)
            if trainer.step % plan.steps_per_epoch == 0:
                trainer.check()
                trainer.check_ranks()
                found = None
                if len(plan.val_rows):
                    found = validate(
                        trainer.objective,
                        triplets,
                        plan.val_rows,
                        batch_size=config.data.batch_size,
                    )
                    log.write("val", step=trainer.step, epoch=epoch, values=found)
                # All ranks have measured the same; one of them decides for all.
                new = ranks.told_by_first(score(found, epoch=epoch))
                if is_better(new, trainer.best):
                    trainer.best = new
                    trainer.save_best(out / BEST)
            trainer.save_last(out / LAST)
    return state()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Plan:
    """Which rows a run reads, and how many steps that makes."""

    train_rows: npt.NDArray[np.int64]
    val_rows: npt.NDArray[np.int64]
    steps_per_epoch: int
    steps: int


def _plan(store: StoreData, config: FitConfig) -> _Plan:
    train_rows, val_rows = store.rows(splits=("train",)), store.rows(splits=("val",))
    steps_per_epoch = len(train_rows) // config.data.batch_size
    if steps_per_epoch == 0:
        raise UsageError(
            f"data.batch_size must be at most the {len(train_rows)} rows of split train, got "
            f"{config.data.batch_size} [version={store.version}]"
        )
    if config.patience is not None and len(val_rows) == 0:
        raise UsageError(
            "patience needs rows of split val to be measured on, found none: set patience=null "
            f"[version={store.version}]"
        )
    return _Plan(
        train_rows=train_rows,
        val_rows=val_rows,
        steps_per_epoch=steps_per_epoch,
        steps=steps_per_epoch * config.epochs,
    )


def _teaching_rows(
    store: StoreData, rows: npt.NDArray[np.int64], *, trainer: Trainer
) -> npt.NDArray[np.int64]:
    """Return those of ``rows`` that the objective can learn from."""
    teach: npt.NDArray[np.bool_] = trainer.objective.teaching(store.valid[rows]).numpy()
    found = rows[teach]
    batch_size = trainer.config.data.batch_size
    if len(found) < batch_size:
        raise UsageError(
            f"data.batch_size must be at most the {len(found)} rows of split train that the "
            f"objective can learn from, got {batch_size}: set it lower, for all runs that are "
            f"compared [version={store.version}]"
        )
    return found


def _is_finished(trainer: Trainer, *, plan: _Plan) -> bool:
    """Whether a run is over, seen from between two epochs."""
    epochs_done = trainer.step // plan.steps_per_epoch
    return trainer.step == plan.steps or is_worn_out(
        trainer.best, epochs_done=epochs_done, patience=trainer.config.patience
    )


def _refuse_missing_targets(
    store: StoreData, rows: npt.NDArray[np.int64], *, objective: Objective
) -> None:
    has = dict(zip(MODALITIES, store.valid[rows].any(dim=0).tolist(), strict=True))
    has["label"] = any(label is not None for label in store.column("label")[rows])
    wanted = (*objective.learns_from, *(("label",) if objective.reads_labels else ()))
    missing = [name for name in wanted if not has[name]]
    if missing:
        raise UsageError(
            f"objective learns from {' and '.join(missing)}, but no row of split train has it; "
            f"choose another, or terms or objective.modalities without it [version={store.version}]"
        )
