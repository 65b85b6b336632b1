"""A step that CUDA records once and replays: its many launches become one."""

from collections.abc import Callable
from dataclasses import fields
from typing import Final, Protocol

import torch
from torch import Tensor

from primus_train.data.triplets import Batch

__all__ = ["CudaRecorder", "Outcome", "RecordedStep", "Recorder"]

Outcome = dict[str, Tensor]
"""What a step says: ``loss``, its parts and the like, scalars, detached."""

_WARM_UP: Final = 3
"""Eager steps before recording: libraries choose and allocate then, which no graph may hold."""


class Recorder(Protocol):
    """Runs work so that it can be recorded, and records it."""

    def warm_up(self, work: Callable[[], Outcome]) -> Outcome:
        """Run ``work`` now, in the way in which it will be recorded."""
        ...

    def record(self, work: Callable[[], Outcome]) -> tuple[Callable[[], None], Outcome]:
        """Return what does ``work`` again on the same tensors, and the tensors it writes.

        Recording itself does not do the work.
        """
        ...


class CudaRecorder:
    """CUDA graphs: the launches of a step become one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._graph = torch.cuda.CUDAGraph()

    def warm_up(self, work: Callable[[], Outcome]) -> Outcome:
        """Run ``work`` on a stream of its own, as capture will."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            outcome = work()
        current.wait_stream(self._stream)
        return outcome

    def record(self, work: Callable[[], Outcome]) -> tuple[Callable[[], None], Outcome]:
        """Capture ``work`` in a graph."""
        with torch.cuda.graph(self._graph, stream=self._stream):
            outcome = work()
        return self._graph.replay, outcome


class RecordedStep:
    """A step that is recorded after a few eager ones and replayed from then on.

    The eager ones are steps of the run like all others. A recording always works on the same
    tensors: every batch is copied into them, and what comes out is copied before the next replay.

    Args:
        step: what to record.
        recorder: how.
        prepare: called before recording; leaves no gradient from the eager steps.
    """

    def __init__(
        self, step: Callable[..., Outcome], *, recorder: Recorder, prepare: Callable[[], None]
    ) -> None:
        self._step = step
        self._recorder = recorder
        self._prepare = prepare
        self._done = 0
        self._batch: Batch | None = None
        self._view: Tensor | None = None
        self._replay: Callable[[], None] | None = None
        self._outcome: Outcome = {}

    def __call__(self, batch: Batch, *, view: Tensor | None) -> Outcome:
        """Take one step; all batches must have the first one's shapes."""
        held = self._hold(batch, view)
        if self._done < _WARM_UP:
            self._done += 1
            return {n: t.clone() for n, t in self._recorder.warm_up(held).items()}
        if self._replay is None:
            self._prepare()
            self._replay, self._outcome = self._recorder.record(held)
        self._replay()
        return {name: value.clone() for name, value in self._outcome.items()}

    def _hold(self, batch: Batch, view: Tensor | None) -> Callable[[], Outcome]:
        """Copy the inputs to where the recording reads them, and return the work on them."""
        if self._batch is None:
            self._batch = Batch(**{f.name: getattr(batch, f.name).clone() for f in fields(Batch)})
            self._view = None if view is None else view.clone()
        else:
            for field in fields(Batch):
                getattr(self._batch, field.name).copy_(getattr(batch, field.name))
            if view is not None and self._view is not None:
                self._view.copy_(view)
        own_batch, own_view = self._batch, self._view
        return lambda: self._step(own_batch, view=own_view)
