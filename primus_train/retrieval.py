"""How often a window finds its own video or sentence among all others."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

__all__ = ["RetrievalScores", "retrieval_scores"]

_TIE: Final = 1e-6
"""Cosines closer than this are a tie: equal vectors differ by rounding alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalScores:
    """Scores over a gallery of ``n`` items; all are shares between 0 and 1.

    Attributes:
        n: queries and items.
        r_at_1: share of queries whose own item comes first.
        r_at_5: within the first five.
        r_at_10: within the first ten.
        mrr: mean of 1 / rank.
        chance: R@1 of a random order, 1 / n.
    """

    n: int
    r_at_1: float
    r_at_5: float
    r_at_10: float
    mrr: float
    chance: float


def retrieval_scores(query: Tensor, items: Tensor, *, block: int = 1024) -> RetrievalScores:
    """Score the retrieval of item i by query i on cosine similarity.

    Ties are averaged: a query whose own item shares its cosine with others counts what a random
    order among them gives on average, so a constant encoder scores exactly chance.

    Args:
        query: (n, D).
        items: (n, D).
        block: queries compared at a time; memory is block times n.

    Raises:
        ValueError: if there is nothing to retrieve from.
    """
    n = len(query)
    if n == 0 or len(items) != n:
        raise ValueError(
            f"query and items must have the same rows, at least 1, got {n} and {len(items)}"
        )
    query, items = F.normalize(query.double(), dim=1), F.normalize(items.double(), dim=1)
    ahead, tied = [], []
    for start in range(0, n, block):
        cosine = query[start : start + block] @ items.T
        own = cosine[torch.arange(len(cosine)), torch.arange(start, start + len(cosine))][:, None]
        ahead.append((cosine > own + _TIE).sum(dim=1))
        tied.append(((cosine - own).abs() <= _TIE).sum(dim=1))
    above = torch.cat(ahead).cpu().numpy()
    equal = torch.cat(tied).cpu().numpy()
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])

    def within(k: int) -> float:
        return float(np.clip((k - above) / equal, 0, 1).mean())

    return RetrievalScores(
        n=n,
        r_at_1=within(1),
        r_at_5=within(5),
        r_at_10=within(10),
        mrr=float(((harmonic[above + equal] - harmonic[above]) / equal).mean()),
        chance=1 / n,
    )
