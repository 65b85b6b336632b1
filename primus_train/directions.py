"""Retrieval between the modalities of a version's segments, in every direction there is.

A gallery holds segments that do not overlap. IMU windows meet video and text in the space that the
objective was trained to bring them to; video and text meet as the frozen encoder left them, which
is no merit of the run's and stands beside its figures as a reference.

What is looked for is the segment's own video or sentence: copies of a sentence have one embedding,
tie, and share their places. A sentence that asks is asked once, however many segments it is about,
and the best-placed of them counts.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from primus_train.data.gallery import non_overlapping
from primus_train.data.store import StoreData
from primus_train.objectives.base import Objective
from primus_train.retrieval import retrieval_scores
from schemas.modality import MODALITIES

__all__ = ["DIRECTIONS", "find_places", "retrieve_everywhere", "retrieve_targets", "show"]

DIRECTIONS = (
    "imu_to_video",
    "imu_to_text",
    "video_to_imu",
    "text_to_imu",
    "video_to_text",
    "text_to_video",
)
"""Names of scores, in the order they are told in."""

Rows = npt.NDArray[np.int64]


def show(store: StoreData, rows: Rows, *, names: Sequence[str]) -> Rows:
    """Return those of ``rows`` (n,) that show all modalities ``names``."""
    places: tuple[str, ...] = MODALITIES
    shown: npt.NDArray[np.bool_] = (
        store.valid[:, [places.index(name) for name in names]].all(dim=1).numpy()
    )
    return rows[shown[rows]]


def find_places(rows: Rows, *, chosen: Rows) -> Tensor:
    """Return the place of each of ``chosen`` (m,) among ``rows`` (n,), which hold them all."""
    order = np.argsort(rows, kind="stable")
    places: Rows = order[np.searchsorted(rows, chosen, sorter=order)]
    return torch.from_numpy(places)


@torch.no_grad()
def retrieve_targets(
    objective: Objective, store: StoreData, rows: Rows, *, multimodal: Tensor
) -> dict[str, dict[str, Any]]:
    """Return how windows find the targets that the objective aligned them with.

    Args:
        objective: whose projections lead into the targets' spaces.
        store: the version.
        rows: (n,) candidates; the gallery is those that do not overlap, per modality.
        multimodal: (n, 512) their multimodal embeddings.

    Returns:
        ``{"imu_to_video": scores, ...}``; a modality that no row shows is left out.
    """
    scores: dict[str, dict[str, Any]] = {}
    for name in objective.aligned_with:
        gallery = non_overlapping(store, show(store, rows, names=(name,)))
        if len(gallery):
            windows, targets = _pair(objective, store, rows, multimodal, gallery, name=name)
            scores[f"imu_to_{name}"] = asdict(retrieval_scores(windows, targets))
    return scores


@torch.no_grad()
def retrieve_everywhere(
    objective: Objective, store: StoreData, rows: Rows, *, multimodal: Tensor
) -> dict[str, dict[str, Any]]:
    """Return the scores of all `DIRECTIONS` that objective and version allow.

    Args:
        objective: as in `retrieve_targets`.
        store: the version.
        rows: (n,) candidates.
        multimodal: (n, 512) their multimodal embeddings.

    Returns:
        As `retrieve_targets`; where text is one side, with the number of different ``sentences``
        in the gallery, which tells how many of its items are copies. Video and text meet where
        their embeddings are as long as each other.
    """
    scores: dict[str, dict[str, Any]] = {}
    for name in objective.aligned_with:
        gallery = non_overlapping(store, show(store, rows, names=(name,)))
        if len(gallery):
            windows, targets = _pair(objective, store, rows, multimodal, gallery, name=name)
            scores |= _both_ways(store, gallery, windows, targets, names=("imu", name))
    if store.video.shape[1] == store.text.shape[1]:
        gallery = non_overlapping(store, show(store, rows, names=("video", "text")))
        if len(gallery):
            index = torch.from_numpy(gallery)
            video, text = (part[index].to(multimodal.device) for part in (store.video, store.text))
            scores |= _both_ways(store, gallery, video, text, names=("video", "text"))
    return {name: scores[name] for name in DIRECTIONS if name in scores}


def _pair(
    objective: Objective,
    store: StoreData,
    rows: Rows,
    multimodal: Tensor,
    gallery: Rows,
    *,
    name: str,
) -> tuple[Tensor, Tensor]:
    """Return windows and targets (m, D) of a gallery in the targets' space."""
    places = find_places(rows, chosen=gallery).to(multimodal.device)
    windows = objective.project(multimodal[places], name=name)
    targets: Tensor = getattr(store, name)[torch.from_numpy(gallery)]
    return windows, targets.to(multimodal.device)


def _both_ways(
    store: StoreData, gallery: Rows, one: Tensor, other: Tensor, *, names: tuple[str, str]
) -> dict[str, dict[str, Any]]:
    """Return the scores of one side looking for the other (n, D), and the other way round."""
    there, back = f"{names[0]}_to_{names[1]}", f"{names[1]}_to_{names[0]}"
    if names[1] != "text":
        return {
            there: asdict(retrieval_scores(one, other)),
            back: asdict(retrieval_scores(other, one)),
        }
    sentences = store.column("text")[gallery].astype(str)
    _, first, answers = np.unique(sentences, return_index=True, return_inverse=True)
    asked = other[torch.from_numpy(first).to(other.device)]
    found = {
        there: retrieval_scores(one, other),
        back: retrieval_scores(asked, one, answers=torch.from_numpy(answers.reshape(-1))),
    }
    return {name: {**asdict(scores), "sentences": len(first)} for name, scores in found.items()}
