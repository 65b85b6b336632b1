"""Encode a batch in parts, over processes and micro-batches, and learn from the whole of it.

A contrastive loss needs all embeddings of a batch at once; the encoder does not: it treats every
window alone. So (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory
Limited Setup", 3.2) with embeddings E = f(X; w), encoder weights w, other weights u and loss
L(E, u):

    dL/dw = sum over parts p of (dE_p/dw)^T (dL/dE_p),        dL/du as it is.

1. Each rank encodes its own rows, without a graph if it must do so in several micro-batches.
2. The ranks' embeddings are gathered. Every rank then holds E, computes L and its gradients dL/dE
   and dL/du: the same bits everywhere, and the bank and all else that L changes stay the same too.
3. Each rank passes ``size * dL/dE_p`` back through its own rows p, encoding them again with a
   graph, a micro-batch at a time, where there was none.
4. The mean over ranks of all gradients is taken: of the encoder's it is
   ``1/size * sum_p size * (dE_p/dw)^T (dL/dE_p) = dL/dw``; of the others', equal on all ranks, it
   is dL/du. Neither is an average of losses of smaller batches.

An encoder that draws random numbers (dropout) would need the same draws both times; ours has none.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from primus_train.data.triplets import Batch
from primus_train.distributed import Ranks
from primus_train.encoders.stacked_rnn import Embeddings
from primus_train.objectives.base import Losses, Objective
from schemas.errors import UsageError

__all__ = ["PartedGradients", "check_parts"]

_NAMES = ("backbone", "unimodal", "multimodal")


def check_parts(*, batch_size: int, micro_batches: int, ranks: Ranks) -> None:
    """Refuse a batch that does not fall into equal parts.

    Raises:
        UsageError: with the parts it must fall into.
    """
    parts = ranks.size * micro_batches
    if batch_size % parts:
        raise UsageError(
            f"data.batch_size must be a multiple of {parts} ({ranks.size} processes x "
            f"optim.micro_batches {micro_batches}), got {batch_size}"
        )


class PartedGradients:
    """Computes a batch's losses and the gradients of all weights in parts.

    Args:
        objective: whose encoder is used in parts.
        losses: of the whole batch: the objective's own, or compiled.
        micro_batches: parts in which a rank encodes its rows.
        ranks: the processes that share a batch.
        encode: runs the encoder on windows (n, C, T), in the precision asked for.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        losses: Callable[..., Losses],
        micro_batches: int,
        ranks: Ranks,
        encode: Callable[[Tensor], Embeddings],
    ) -> None:
        self._objective = objective
        self._losses = losses
        self._micro_batches = micro_batches
        self._ranks = ranks
        self._encode = encode

    def __call__(self, batch: Batch, *, view: Tensor | None) -> Losses:
        """Return the losses of a batch; every weight's ``grad``, empty before, holds its own."""
        own = self._own_windows(batch, view)
        parts = own.chunk(self._micro_batches, dim=1)
        graph: Embeddings | None = None
        if len(parts) == 1:
            graph = self._encode(own.flatten(0, 1))
            found = _stack(graph).detach().unflatten(0, own.shape[:2])
        else:
            with torch.no_grad():
                done = [_stack(self._encode(p.flatten(0, 1))) for p in parts]
            found = torch.cat([d.unflatten(0, (len(own), -1)) for d in done], dim=1)
        # (ranks, 1 + views, n, 3, D) to the order of one batch: untouched rows, then each view's.
        whole = self._ranks.gather(found).transpose(0, 1).flatten(0, 2)
        leaves = Embeddings(
            **{name: whole[:, i].clone().requires_grad_() for i, name in enumerate(_NAMES)}
        )
        count = len(batch)
        losses = self._losses(
            leaves[:count], batch=batch, view=None if view is None else leaves[count:]
        )
        torch.autograd.backward(losses.total)
        self._pass_back(leaves, parts=parts, graph=graph)
        self._ranks.average(w.grad for w in self._objective.parameters() if w.grad is not None)
        return losses

    def _own_windows(self, batch: Batch, view: Tensor | None) -> Tensor:
        """Return this rank's windows and their views: (1 + views, n, C, T)."""
        rows = self._ranks.slice_of(len(batch))
        own = batch.imu[rows][None]
        if view is None:
            return own
        return torch.cat([own, view.unflatten(0, (-1, len(batch)))[:, rows]])

    def _pass_back(
        self, leaves: Embeddings, *, parts: tuple[Tensor, ...], graph: Embeddings | None
    ) -> None:
        """Take the gradients of the embeddings on into the encoder, of this rank's rows alone."""
        # What no loss used stays out: its head must get no gradient, not one of zeros.
        upstream: dict[str, Tensor] = {}
        rows = self._ranks.slice_of(self._ranks.size * sum(part.shape[1] for part in parts))
        for name in _NAMES:
            leaf = getattr(leaves, name)
            if leaf.grad is not None:
                own = leaf.grad.unflatten(0, (len(parts[0]), -1))[:, rows]
                upstream[name] = own * self._ranks.size
        start = 0
        for part in parts if upstream else ():
            end = start + part.shape[1]
            found = self._encode(part.flatten(0, 1)) if graph is None else graph
            torch.autograd.backward(
                [getattr(found, name) for name in upstream],
                [gradient[:, start:end].flatten(0, 1) for gradient in upstream.values()],
            )
            start = end


def _stack(found: Embeddings) -> Tensor:
    """Return the embeddings (n, 3, D) as one tensor."""
    return torch.stack([getattr(found, name) for name in _NAMES], dim=1)
