"""The ``knn`` protocol: the nearest shots by cosine vote."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from primus_train.probes.config import ProbeConfig
from primus_train.probes.labelled import ProbeData, Trial

__all__ = ["fit_nearest", "vote"]

Features = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]

_BLOCK: Final = 1024
"""Rows compared at a time."""


def _unit(features: Features) -> npt.NDArray[np.float64]:
    values = features.astype(np.float64)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(norms > 0, norms, 1)


def vote(
    shots: Features, labels: Ints, features: Features, *, classes: int, neighbours: int
) -> Ints:
    """Return the class (m,) that most of the nearest shots have.

    Among classes with as many votes the one whose voters are more similar in sum wins.

    Args:
        shots: (n, D).
        labels: (n,) in [0, classes).
        features: (m, D).
        classes: K.
        neighbours: voters, at most n.
    """
    keys = _unit(shots).T
    one_hot = np.eye(classes)[labels]
    out = np.empty(len(features), dtype=np.int64)
    for start in range(0, len(features), _BLOCK):
        similarity = _unit(features[start : start + _BLOCK]) @ keys
        near = np.argpartition(-similarity, neighbours - 1, axis=1)[:, :neighbours]
        # A vote weighs more than all similarities can differ by.
        weight = 2 * neighbours + 1 + np.take_along_axis(similarity, near, axis=1)
        out[start : start + _BLOCK] = np.einsum("mj,mjk->mk", weight, one_hot[near]).argmax(axis=1)
    return out


def fit_nearest(data: ProbeData, places: Ints, *, config: ProbeConfig) -> Iterator[Trial]:
    """Yield the trials whose shots lie at ``places`` (T, n)."""
    classes = len(data.labelled.classes)
    for chosen in places:
        yield Trial(
            predicted={
                split: vote(
                    data.features["train"][chosen],
                    data.labelled.labels["train"][chosen],
                    data.features[split],
                    classes=classes,
                    neighbours=min(config.neighbours, len(chosen) // classes),
                )
                for split in config.eval_splits
            }
        )
