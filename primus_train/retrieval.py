"""How often a query finds its own item among all others."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

__all__ = ["RetrievalScores", "retrieval_scores"]

_TIE: Final = 1e-6
"""Cosines closer than this are a tie: equal vectors differ by rounding alone."""
_WITHIN: Final = (1, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalScores:
    """Scores over a gallery of ``n`` items; all are shares between 0 and 1.

    Attributes:
        n: items.
        queries: as many as items, unless several items answer one query.
        r_at_1: share of queries with an item of theirs in the first place.
        r_at_5: within the first five.
        r_at_10: within the first ten.
        mrr: mean of 1 / rank.
        chance: R@1 of a random order, 1 / queries.
    """

    n: int
    queries: int
    r_at_1: float
    r_at_5: float
    r_at_10: float
    mrr: float
    chance: float


def retrieval_scores(
    query: Tensor, items: Tensor, *, answers: Tensor | None = None, block: int = 1024
) -> RetrievalScores:
    """Score the retrieval of its own items by each query, on cosine similarity.

    Of several items that answer a query the best-placed one counts. Ties are averaged: a query
    whose item shares its cosine with others counts what a random order among them gives on
    average, so a constant encoder scores exactly chance.

    Args:
        query: (q, D).
        items: (n, D).
        answers: (n,) int64, the query that each item answers; None where item i answers query i.
        block: queries compared at a time; memory is block times n.

    Raises:
        ValueError: if there is nothing to retrieve from, or a query has no item.
    """
    queries, n = len(query), len(items)
    if n == 0 or (answers is None and n != queries):
        raise ValueError(
            f"query and items must have the same rows, at least 1, got {queries} and {n}"
        )
    if answers is None:
        answers = torch.arange(n)
    elif len(answers) != n or set(answers.tolist()) != set(range(queries)):
        raise ValueError(
            f"answers must name a query for each of {n} items and leave none of {queries} without, "
            f"got {len(answers)} of {len(set(answers.tolist()))}"
        )
    answers = answers.to(items.device)
    query, items = F.normalize(query.double(), dim=1), F.normalize(items.double(), dim=1)
    found = []
    for start in range(0, queries, block):
        cosine = query[start : start + block] @ items.T
        asked = torch.arange(start, start + len(cosine), device=items.device)
        own = answers[None, :] == asked[:, None]
        best = cosine.masked_fill(~own, -torch.inf).amax(dim=1, keepdim=True)
        tied = (cosine - best).abs() <= _TIE
        counts = (cosine > best + _TIE, tied & ~own, tied & own)
        found.append(torch.stack([which.sum(dim=1) for which in counts], dim=1))
    return _score(torch.cat(found).cpu().numpy(), n=n)


def _first(others: int, own: int) -> npt.NDArray[np.float64]:
    """Return how likely the first of ``own`` items stands in each place among ``others``.

    Args:
        others: items that are not.
        own: items that are.

    Returns:
        (others + 1,) probabilities under a random order, that of the first place first.
    """
    j = np.arange(others + 1)
    left = others + own - j
    none_before = np.concatenate([[1.0], np.cumprod((others - j[:-1]) / left[:-1])])
    chances: npt.NDArray[np.float64] = none_before * own / left
    return chances


def _score(places: npt.NDArray[np.int64], *, n: int) -> RetrievalScores:
    """Return the scores of queries (q, 3): items ahead, others tied with the best own, own tied."""
    queries = len(places)
    kinds, counts = np.unique(places, axis=0, return_counts=True)
    within, reciprocal = dict.fromkeys(_WITHIN, 0.0), 0.0
    for (ahead, others, own), count in zip(kinds.tolist(), counts.tolist(), strict=True):
        chances = _first(others, own)
        rank = ahead + np.arange(1, others + 2)
        for k in _WITHIN:
            within[k] += count * float(chances[rank <= k].sum())
        reciprocal += count * float((chances / rank).sum())
    # Probabilities add up to 1 but for rounding.
    r_at_1, r_at_5, r_at_10 = (min(1.0, within[k] / queries) for k in _WITHIN)
    return RetrievalScores(
        n=n,
        queries=queries,
        r_at_1=r_at_1,
        r_at_5=r_at_5,
        r_at_10=r_at_10,
        mrr=min(1.0, reciprocal / queries),
        chance=1 / queries,
    )
