"""InfoNCE on cosine similarities, with masks (Das et al. 2025, II-A and eq. 1, 2, 4).

The printed formulas lack the ``-log``; it is meant, as in van den Oord et al. 2018.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

__all__ = ["Direction", "info_nce"]

Direction = Literal["one_way", "symmetric"]


def info_nce(
    query: Tensor,
    keys: Tensor,
    *,
    temperature: Tensor | float,
    mask: Tensor | None = None,
    direction: Direction = "one_way",
) -> Tensor:
    """Return the mean over queries of ``-log softmax(cos(query_i, keys) / temperature)[i]``.

    Args:
        query: (B, D), any norm.
        keys: (B, D), any norm; row i is the positive of query i, all others its negatives.
        temperature: divides the cosines.
        mask: (B,) bool; a row that is False is neither query nor key. None keeps all.
        direction: ``one_way`` as in the paper; ``symmetric`` adds the term with the roles
            exchanged (a sum, as the published code has it).

    Returns:
        A scalar; 0 (with zero gradients) where the mask keeps no row.
    """
    if mask is not None:
        query, keys = query[mask], keys[mask]
    if len(query) == 0:
        return query.sum() + keys.sum()
    cosine = F.normalize(query, dim=1) @ F.normalize(keys, dim=1).T
    logits = cosine / temperature
    positive = torch.arange(len(query), device=query.device)
    loss = F.cross_entropy(logits, positive)
    if direction == "symmetric":
        loss = loss + F.cross_entropy(logits.T, positive)
    return loss
