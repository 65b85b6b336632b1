"""What a run is judged by after each epoch: no augmentation, nothing learned, bank untouched."""

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from primus_train.data.triplets import Triplets
from primus_train.directions import retrieve_targets
from primus_train.objectives.base import Objective
from primus_train.representation import embed_rows
from primus_train.seeds import make_generator
from primus_train.uniformity import measure_sphere
from schemas.errors import PrimusError

__all__ = ["is_better", "score", "validate"]

_SPHERE_ROWS: Final = 2048
"""Whose alignment and uniformity are measured after each epoch: two million pairs."""


def validate(
    objective: Objective,
    triplets: Triplets,
    rows: npt.NDArray[np.int64],
    *,
    batch_size: int,
) -> dict[str, Any]:
    """Return loss, parts, retrieval, alignment and uniformity over validation ``rows`` (n,).

    Batches are taken in row order, the short last one too, and weighted by their rows.

    Raises:
        PrimusError: if the loss or one of its parts is not finite.
    """
    was_training = objective.training
    objective.eval()
    embeddings = embed_rows(objective, triplets.store, rows)
    sums: dict[str, float] = {}
    with torch.no_grad():
        for start in range(0, len(rows), batch_size):
            chosen = rows[start : start + batch_size]
            batch = triplets.batch(chosen)
            plain, viewed = embeddings[start : start + len(chosen)], None
            if objective.view_is_task:
                draws = make_generator(0, "validation", start)
                view = objective.make_view(batch.imu, generator=draws)
                plain, viewed = objective.embed(batch.imu, view=view)
            losses = objective.losses(plain, batch=batch, view=viewed)
            for name, value in {"loss": losses.total, **losses.parts}.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(chosen)
    result: dict[str, Any] = {name: value / len(rows) for name, value in sums.items()}
    for name, value in result.items():
        if not math.isfinite(value):
            raise PrimusError(
                f"validation {name} must be finite, got {value}: look for damaged windows among "
                f"the {len(rows)} rows [version={triplets.store.version}]"
            )
    if objective.aligned_with:
        result["retrieval"] = retrieve_targets(
            objective, triplets.store, rows, multimodal=embeddings.multimodal
        )
    result["sphere"] = measure_sphere(
        objective, triplets.store, rows, embeddings=embeddings, most=_SPHERE_ROWS
    )
    objective.train(was_training)
    return result


def score(validation: dict[str, Any] | None, *, epoch: int) -> dict[str, Any]:
    """Return what an epoch's weights are chosen by: ``{"metric", "value", "epoch"}``.

    The mean over modalities of the retrieval MRR where the objective has a multimodal term, else
    the loss; without validation rows the last epoch wins.
    """
    if validation is None:
        return {"metric": "last", "value": float(epoch), "epoch": epoch}
    retrieval = validation.get("retrieval")
    if retrieval:
        mean = float(np.mean([scores["mrr"] for scores in retrieval.values()]))
        return {"metric": "mrr", "value": mean, "epoch": epoch}
    return {"metric": "loss", "value": float(validation["loss"]), "epoch": epoch}


def is_better(new: dict[str, Any], best: dict[str, Any] | None) -> bool:
    """Whether ``new`` beats ``best``: a lower loss, or a higher value of anything else."""
    if best is None:
        return True
    if new["metric"] == "loss":
        return bool(new["value"] < best["value"])
    return bool(new["value"] > best["value"])
