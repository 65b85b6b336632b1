"""One optimiser step, without the host ever waiting for the device; eager, compiled or recorded.

What a step returns are tensors that may still be under way. Nothing in it reads a value back or
has a shape that depends on values, which is also what lets CUDA record it once and replay it.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import fields
from importlib.util import find_spec
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from primus_train.config import FitConfig
from primus_train.data.triplets import Batch
from primus_train.objectives.base import Losses, Objective
from primus_train.precision import check_precision, encoder_precision
from schemas.errors import UsageError

__all__ = ["CudaRecorder", "RecordedStep", "Recorder", "Step", "make_optimizer", "make_step"]

_WARM_UP: Final = 3
"""Eager steps before recording: libraries choose and allocate then, which no graph may hold."""

Outcome = dict[str, Tensor]
"""``loss`` and its parts: scalars, detached."""


def make_optimizer(
    objective: Objective, *, config: FitConfig, device: torch.device
) -> torch.optim.Adam:
    """Return Adam as one fused pass over the weights; under graphs its step count stays on CUDA."""
    return torch.optim.Adam(
        objective.parameters(),
        lr=config.optim.learning_rate,
        fused=True,
        capturable=device.type == "cuda" and config.optim.compile == "graphs",
    )


class Step:
    """Forward, backward and update on a batch and its view.

    Args:
        objective: in training mode, on ``device``.
        optimizer: of its parameters.
        config: the run's config.
        device: where all of it is.
        backend: of torch.compile where ``optim.compile`` asks for it; torch's own if None.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        *,
        config: FitConfig,
        device: torch.device,
        backend: str | Callable[..., Any] | None = None,
    ) -> None:
        self._objective = objective
        self._optimizer = optimizer
        self._precision = config.optim.precision
        self._device = device
        self._losses: Callable[..., Losses] = objective.losses
        if config.optim.compile == "compile":
            # The encoder is left as it is: its GRU runs in cuDNN (or oneDNN), fused already.
            named: dict[str, Any] = {} if backend is None else {"backend": backend}
            self._losses = torch.compile(objective.losses, dynamic=False, **named)

    def __call__(self, batch: Batch, *, view: Tensor | None) -> Outcome:
        """Take one step."""
        with encoder_precision(self._precision, device=self._device):
            plain, viewed = self._objective.embed(batch.imu, view=view)
        losses = self._losses(plain, batch=batch, view=viewed)
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(losses.total)
        self._optimizer.step()
        return {"loss": losses.total.detach(), **losses.parts}


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

    def __init__(self, step: Step, *, recorder: Recorder, prepare: Callable[[], None]) -> None:
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


def _check_compile(compiled: str, *, device: torch.device) -> None:
    if compiled == "graphs" and device.type != "cuda":
        raise UsageError(f"optim.compile graphs needs device cuda, got device {device.type}")
    if compiled == "compile" and device.type == "cuda" and find_spec("triton") is None:
        raise UsageError("optim.compile compile on device cuda needs triton, found none")
    if compiled == "compile" and device.type == "cpu":
        names = (os.environ.get("CXX"), "g++", "clang++", "c++")
        if not any(shutil.which(name) for name in names if name):
            raise UsageError("optim.compile compile on device cpu needs a C++ compiler, found none")


def make_step(
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    *,
    config: FitConfig,
    device: torch.device,
) -> Step | RecordedStep:
    """Return the step that a config asks for.

    Raises:
        UsageError: if the device has not the precision, or what ``optim.compile`` needs is absent.
    """
    check_precision(config.optim.precision, device=device)
    _check_compile(config.optim.compile, device=device)
    step = Step(objective, optimizer, config=config, device=device)
    if config.optim.compile != "graphs":
        return step
    return RecordedStep(
        step, recorder=CudaRecorder(device), prepare=lambda: optimizer.zero_grad(set_to_none=True)
    )
