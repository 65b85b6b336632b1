"""What a run is judged by after each epoch: no augmentation, nothing learned, bank untouched."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from primus_train.data.gallery import non_overlapping
from primus_train.data.store import StoreData
from primus_train.data.triplets import Triplets
from primus_train.objectives.base import Objective
from primus_train.representation import embed_rows
from primus_train.retrieval import retrieval_scores
from primus_train.seeds import make_generator
from schemas.errors import PrimusError
from schemas.modality import MODALITIES

__all__ = ["is_better", "retrieve_targets", "score", "validate"]


@torch.no_grad()
def retrieve_targets(
    objective: Objective,
    store: StoreData,
    rows: npt.NDArray[np.int64],
    *,
    multimodal: torch.Tensor,
) -> dict[str, dict[str, Any]]:
    """Return the retrieval scores of the objective's target modalities over ``rows``.

    Args:
        objective: whose projections lead into the targets' spaces.
        store: the version in memory.
        rows: (n,) candidates; the gallery is those that do not overlap, per modality.
        multimodal: (n, 512) their multimodal embeddings.

    Returns:
        ``{"imu_to_video": scores, ...}``; a modality that no row shows is left out.
    """
    scores: dict[str, dict[str, Any]] = {}
    for name in objective.aligned_with:
        shown = store.valid[:, MODALITIES.index(name)].numpy()
        gallery = non_overlapping(store, rows[shown[rows]])
        if len(gallery) == 0:
            continue
        place = {int(row): i for i, row in enumerate(rows)}
        index = torch.tensor([place[int(row)] for row in gallery], device=multimodal.device)
        targets = getattr(store, name)[torch.from_numpy(gallery)].to(multimodal.device)
        query = objective.project(multimodal[index], name=name)
        scores[f"imu_to_{name}"] = asdict(retrieval_scores(query, targets))
    return scores


def validate(
    objective: Objective,
    triplets: Triplets,
    rows: npt.NDArray[np.int64],
    *,
    batch_size: int,
) -> dict[str, Any]:
    """Return the loss, its parts and the retrieval scores over validation ``rows`` (n,).

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
