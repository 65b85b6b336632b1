"""How near pairs lie, and how evenly all lie on the sphere: alignment and uniformity.

Wang & Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on
the Hypersphere", ICML 2020, with alpha = 2 and t = 2. Lower is better in both. Alignment is 0 where
pairs coincide and 2 where they are unrelated; uniformity is 0 where all vectors are one, and -4 is
about what many that are spread evenly in many dimensions reach.
"""

import math
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from primus_train.data.gallery import non_overlapping
from primus_train.data.store import StoreData
from primus_train.directions import Rows, find_places, show
from primus_train.encoders.stacked_rnn import Embeddings
from primus_train.objectives.base import Objective
from primus_train.seeds import derive_seed

__all__ = ["alignment", "measure_sphere", "uniformity"]

_T: Final = 2.0


def alignment(one: Tensor, other: Tensor) -> float:
    """Return the mean squared distance of unit vectors, row by row.

    Args:
        one: (n, D), of any length.
        other: (n, D), row i the partner of row i.

    Raises:
        ValueError: if they have different shapes or no row.
    """
    if one.shape != other.shape or len(one) == 0:
        raise ValueError(
            f"one and other must have equal shapes and rows, got {tuple(one.shape)} and "
            f"{tuple(other.shape)}"
        )
    apart = F.normalize(one.double(), dim=1) - F.normalize(other.double(), dim=1)
    return float(apart.square().sum(dim=1).mean())


def uniformity(x: Tensor, *, block: int = 1024) -> float:
    """Return the logarithm of the mean of exp(-2 squared distance) over all pairs of unit vectors.

    Args:
        x: (n, D), of any length.
        block: rows compared at a time; memory is block times n.

    Raises:
        ValueError: if there is no pair.
    """
    n = len(x)
    if n < 2:
        raise ValueError(f"x must have at least 2 rows, got {n}")
    unit = F.normalize(x.double(), dim=1)
    total = 0.0
    for start in range(0, n, block):
        squared = 2 - 2 * (unit[start : start + block] @ unit[start:].T)
        total += float(torch.exp(-_T * squared).triu(diagonal=1).sum())
    return math.log(total / (n * (n - 1) / 2))


@torch.no_grad()
def measure_sphere(
    objective: Objective,
    store: StoreData,
    rows: Rows,
    *,
    embeddings: Embeddings,
    most: int,
    frozen: bool = False,
) -> dict[str, Any]:
    """Return alignment and uniformity over segments of ``rows`` that do not overlap.

    Args:
        objective: whose representation and projections are measured.
        store: the version.
        rows: (n,) candidates.
        embeddings: of their windows.
        most: rows measured; above, these many are drawn, the same ones each time.
        frozen: also measure the targets themselves, as a reference.

    Returns:
        ``{"n": rows measured, "alignment": {...}, "uniformity": {...}}``. Alignment is that of
        ``imu_video`` and ``imu_text`` in the target's space (and of ``video_text``), uniformity
        that of ``imu``, the representation that serves downstream, of ``imu_in_video`` and
        ``imu_in_text`` (and of ``video`` and ``text``). What has too few rows is left out.
    """
    chosen = non_overlapping(store, rows)
    if len(chosen) > most:
        draws = np.random.default_rng(derive_seed(0, "uniformity", most))
        chosen = np.sort(draws.choice(chosen, size=most, replace=False))
    device = embeddings.backbone.device
    near: dict[str, float] = {}
    places = find_places(rows, chosen=chosen).to(device)
    spread = {"imu": embeddings.get(objective.representation)[places]}
    for name in objective.aligned_with:
        shown = show(store, chosen, names=(name,))
        if len(shown) == 0:
            continue
        mine = objective.project(
            embeddings.multimodal[find_places(rows, chosen=shown).to(device)], name=name
        )
        targets: Tensor = getattr(store, name)[torch.from_numpy(shown)].to(device)
        near[f"imu_{name}"] = alignment(mine, targets)
        spread[f"imu_in_{name}"] = mine
        if frozen:
            spread[name] = targets
    both = show(store, chosen, names=("video", "text"))
    if frozen and len(both) and store.video.shape[1] == store.text.shape[1]:
        index = torch.from_numpy(both)
        near["video_text"] = alignment(store.video[index], store.text[index])
    return {
        "n": len(chosen),
        "alignment": near,
        "uniformity": {name: uniformity(x) for name, x in spread.items() if len(x) > 1},
    }
