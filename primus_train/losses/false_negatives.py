"""Pairs of segments that a contrastive loss should not hold apart.

Segments of one take that share an instant show the same moment, and two segments of one sentence
the same action; as negatives of each other they ask the encoder to tell apart what is alike.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from primus_train.config import FalseNegative
from primus_train.data.facts import END_NS, SENTENCE, START_NS, TAKE

__all__ = ["alike", "false_negatives", "false_neighbours"]


def alike(a: Tensor, b: Tensor, *, kinds: Sequence[FalseNegative]) -> Tensor:
    """Return which segments ``a`` and ``b`` are alike in one of ``kinds``: (A, B) bool.

    Args:
        a: (A, FACTS) int64; an unknown take or sentence (-1) is like no other.
        b: (B, FACTS) int64.
        kinds: ``overlap``: one take and a common instant of the half-open intervals;
            ``sentence``: one cleaned text.
    """
    found = torch.zeros((len(a), len(b)), dtype=torch.bool, device=a.device)
    if "overlap" in kinds:
        begun = a[:, START_NS, None] < b[None, :, END_NS]
        found = found | (_equal(a, b, place=TAKE) & begun & (b[:, START_NS] < a[:, END_NS, None]))
    if "sentence" in kinds:
        found = found | _equal(a, b, place=SENTENCE)
    return found


def false_negatives(facts: Tensor, *, kinds: Sequence[FalseNegative]) -> Tensor | None:
    """Return which pairs of a batch's segments (B, FACTS) are no negatives: (B, B) bool.

    The diagonal, where each meets its own positive, is False.

    Returns:
        None without ``kinds``.
    """
    if not kinds:
        return None
    return alike(facts, facts, kinds=kinds).fill_diagonal_(False)


def false_neighbours(
    slots: Tensor, *, facts: Tensor, past: Tensor, kinds: Sequence[FalseNegative]
) -> Tensor | None:
    """Return which rows' neighbours are no negatives of which rows: (B, B) bool.

    Where the keys are neighbours, that of another row is no negative if it is this row's own
    neighbour too, or is alike to that one (the positive) or to this row's segment. The diagonal
    is False.

    Args:
        slots: (B,) int64, where each row's neighbour stands in the past.
        facts: (B, FACTS) int64 of the rows.
        past: (K, FACTS) int64 of the slots.
        kinds: as of `alike`.

    Returns:
        None without ``kinds``.
    """
    if not kinds:
        return None
    keys = past.index_select(0, slots)
    found = alike(facts, keys, kinds=kinds) | alike(keys, keys, kinds=kinds)
    return (found | (slots[:, None] == slots)).fill_diagonal_(False)


def _equal(a: Tensor, b: Tensor, *, place: int) -> Tensor:
    ours, theirs = a[:, place, None], b[None, :, place]
    return (ours == theirs) & (ours >= 0)
