"""InfoNCE on cosine similarities, with masks (Das et al. 2025, II-A and eq. 1, 2, 4).

The printed formulas lack the ``-log``; it is meant, as in van den Oord et al. 2018.
"""

from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

__all__ = ["Direction", "info_nce", "info_nce_of_unit"]

Direction = Literal["one_way", "symmetric"]

_NEVER: Final = -1e30
"""Logit of a key that is left out: its weight is exactly 0, and unlike -inf it leaves no NaN."""
_IGNORED: Final = -100
"""Target of a query that is left out, as torch's cross-entropy has it."""


def info_nce(
    query: Tensor,
    keys: Tensor,
    *,
    temperature: Tensor | float,
    mask: Tensor | None = None,
    dropped: Tensor | None = None,
    direction: Direction = "one_way",
) -> Tensor:
    """Return the mean over queries of ``-log softmax(cos(query_i, keys) / temperature)[i]``.

    Args:
        query: (B, D), any norm.
        keys: (B, D), any norm; row i is the positive of query i, all others its negatives.
        temperature: divides the cosines.
        mask: (B,) bool; a row that is False is neither query nor key. None keeps all.
        dropped: (B, B) bool; where True, key j is no negative of query i, nor key i of query j in
            the other direction. False on the diagonal: a query keeps its positive. None drops none.
        direction: ``one_way`` as in the paper; ``symmetric`` adds the term with the roles
            exchanged (a sum, as the published code has it).

    Returns:
        A scalar; 0 (with zero gradients) where the mask keeps no row.
    """
    return info_nce_of_unit(
        F.normalize(query, dim=1),
        F.normalize(keys, dim=1),
        temperature=temperature,
        mask=mask,
        dropped=dropped,
        direction=direction,
    )


def info_nce_of_unit(
    query: Tensor,
    keys: Tensor,
    *,
    temperature: Tensor | float,
    mask: Tensor | None = None,
    dropped: Tensor | None = None,
    direction: Direction = "one_way",
) -> Tensor:
    """Return `info_nce` of rows that are of unit norm already (or zero).

    Masked rows take part in the arithmetic with weight zero, so shapes do not depend on the mask
    and the device is never asked how many rows it keeps.
    """
    if len(query) == 0:
        return query.sum() + keys.sum()
    logits = (query @ keys.T) / temperature
    if dropped is not None:
        logits = logits.masked_fill(dropped, _NEVER)
    target = torch.arange(len(query), device=query.device)
    if mask is None:
        loss = F.cross_entropy(logits, target)
        if direction == "symmetric":
            loss = loss + F.cross_entropy(logits.T, target)
        return loss
    target = torch.where(mask, target, _IGNORED)
    kept = mask.sum().clamp(min=1)
    loss = F.cross_entropy(logits.masked_fill(~mask, _NEVER), target, reduction="sum")
    if direction == "symmetric":
        loss = loss + F.cross_entropy(logits.T.masked_fill(~mask, _NEVER), target, reduction="sum")
    return loss / kept
