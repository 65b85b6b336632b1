"""Several processes that train one run together, as ``torchrun`` starts them.

There is no wrapper around the model. Every rank holds all weights and computes the loss of the
whole batch; what is split is the encoding (`primus_train.encoding`). Ranks meet over gloo on a CPU,
over nccl on CUDA, and always over gloo where they agree on anything.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from schemas.errors import StorageError, UsageError

__all__ = ["SOLO", "TIMEOUT_VARIABLE", "Ranks", "join_ranks", "rank_here"]

T = TypeVar("T")

TIMEOUT_VARIABLE: Final = "PRIMUS_RANK_TIMEOUT_S"
"""Seconds that a rank waits for the others before it gives up."""
_TIMEOUT_S: Final = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Which process of how many this is, and what they do together.

    Every method but ``slice_of`` must be called by all ranks in the same order. Alone, they do
    nothing.

    Attributes:
        rank: of this process, from 0; only rank 0 writes files and speaks.
        size: processes.
        local_rank: of this process on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes files and speaks for all."""
        return self.rank == 0

    def slice_of(self, count: int) -> slice:
        """Return which of ``count`` rows, a multiple of ``size``, are this rank's."""
        own = count // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def gather(self, own: Tensor) -> Tensor:
        """Return the tensors (n, ...) of all ranks in their order: (size, n, ...)."""
        if self.size == 1:
            return own[None]
        own = own.contiguous()
        parts = [torch.empty_like(own) for _ in range(self.size)]
        self._meet(lambda: dist.all_gather(parts, own))
        return torch.stack(parts)

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Put into each tensor its mean over the ranks, the same bits on all of them."""
        mine = list(tensors)
        if self.size == 1 or not mine:
            return
        # One call for all: a call's latency is what small tensors cost.
        flat = torch.cat([t.reshape(-1) for t in mine])
        self._meet(lambda: dist.all_reduce(flat))
        flat /= self.size
        for tensor, mean in zip(mine, flat.split([t.numel() for t in mine]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def largest(self, value: int) -> int:
        """Return the largest of the ranks' values."""
        if self.size == 1:
            return value
        told = torch.tensor(value)
        self._meet(lambda: dist.all_reduce(told, op=dist.ReduceOp.MAX))
        return int(told)

    def same(self, value: str) -> bool:
        """Return, on every rank, whether all have the same ``value``; none goes on before."""
        digest = torch.frombuffer(bytearray(sha256(value.encode()).digest()), dtype=torch.uint8)
        told = self.gather(digest)
        return bool((told == told[0]).all())

    def agree(self, name: str, value: str) -> None:
        """Refuse to go on unless ``value`` is the same on all ranks.

        Raises:
            UsageError: on every rank, if it is not.
        """
        if not self.same(value):
            raise UsageError(
                f"{name} must be the same on all {self.size} ranks, rank {self.rank} has {value}: "
                "start them with the same arguments, and give them one run folder and one store"
            )

    def told_by_first(self, value: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
        """Return rank 0's ``value``, which must be JSON."""
        if self.size == 1:
            return value
        said = json.dumps(value).encode() if self.first else b""
        size = torch.tensor(len(said))
        self._meet(lambda: dist.broadcast(size, src=0))
        text = torch.zeros(int(size), dtype=torch.uint8)
        if self.first:
            text.copy_(torch.frombuffer(bytearray(said), dtype=torch.uint8))
        self._meet(lambda: dist.broadcast(text, src=0))
        return json.loads(bytes(text.tolist()))

    def one_machine_first(self, work: Callable[[bool], T]) -> T:
        """Return ``work(True)`` of one rank a machine, and then ``work(False)`` of its others."""
        first = self.local_rank == 0
        done = work(True) if first else None
        self.largest(0)
        # Not ``done or``: what the work returns may be false.
        return work(False) if done is None else done

    def _meet(self, call: Callable[[], object]) -> None:
        try:
            call()
        except RuntimeError as error:
            said = " ".join(str(error).split())[:200]
            raise StorageError(
                f"every rank must answer within {_timeout_s():g} s ({TIMEOUT_VARIABLE}), rank "
                f"{self.rank} of {self.size} lost another: look at what the others said, then go "
                f"on with --resume ({said})"
            ) from error


SOLO: Final = Ranks()
"""One process, as without ``torchrun``."""


def _number(name: str) -> int:
    text = os.environ.get(name, "")
    if not text.isdigit():
        raise UsageError(
            f"environment variable {name} must be a whole number where WORLD_SIZE is set, got "
            f"{text!r}: start with torchrun"
        )
    return int(text)


def _timeout_s() -> float:
    text = os.environ.get(TIMEOUT_VARIABLE, str(_TIMEOUT_S))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 10**9:
        raise UsageError(
            f"environment variable {TIMEOUT_VARIABLE} must be seconds above 0, got {text!r}"
        )
    return seconds


def rank_here() -> int:
    """Return this process's rank as ``torchrun`` told it; 0 without."""
    return _number("RANK") if _world_size() > 1 else 0


def _world_size() -> int:
    return _number("WORLD_SIZE") if "WORLD_SIZE" in os.environ else 1


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started; without it, or with one, be alone.

    Raises:
        UsageError: if the environment is not as ``torchrun`` leaves it.
        StorageError: if the others cannot be reached.
    """
    if _world_size() == 1:
        yield SOLO
        return
    ranks = Ranks(rank=_number("RANK"), size=_world_size(), local_rank=_number("LOCAL_RANK"))
    both = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if both else "gloo",
            rank=ranks.rank,
            world_size=ranks.size,
            timeout=timedelta(seconds=_timeout_s()),
        )
    except (RuntimeError, ValueError) as error:
        raise StorageError(
            f"ranks must reach each other at MASTER_ADDR and MASTER_PORT, rank {ranks.rank} of "
            f"{ranks.size} could not: {' '.join(str(error).split())[:200]}"
        ) from error
    try:
        yield ranks
    finally:
        dist.destroy_process_group()
