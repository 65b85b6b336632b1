"""One optimiser step, without the host ever waiting for the device; eager, compiled or recorded.

What a step returns are tensors that may still be under way. Nothing in it reads a value back or
has a shape that depends on values, which is also what lets CUDA record it once and replay it.
"""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from primus_train.config import FitConfig
from primus_train.data.triplets import Batch
from primus_train.distributed import SOLO, Ranks
from primus_train.encoders.stacked_rnn import Embeddings
from primus_train.encoding import PartedGradients, check_parts
from primus_train.objectives.base import Losses, Objective
from primus_train.precision import check_precision, encoder_precision
from primus_train.recording import CudaRecorder, Outcome, RecordedStep
from schemas.errors import UsageError

__all__ = ["Step", "make_step"]


class Step:
    """Forward, backward and update on a batch and its view.

    Args:
        objective: in training mode, on ``device``.
        optimizer: of its parameters.
        config: the run's config.
        device: where all of it is.
        ranks: the processes that take the step together, each with the same batch and view.
        backend: of torch.compile where ``optim.compile`` asks for it; torch's own if None.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        *,
        config: FitConfig,
        device: torch.device,
        ranks: Ranks = SOLO,
        backend: str | Callable[..., Any] | None = None,
    ) -> None:
        self._objective = objective
        self._optimizer = optimizer
        self._optim = config.optim
        self._device = device
        self._losses: Callable[..., Losses] = objective.losses
        if config.optim.compile == "compile":
            # The encoder is left as it is: its GRU runs in cuDNN (or oneDNN), fused already.
            named: dict[str, Any] = {} if backend is None else {"backend": backend}
            self._losses = torch.compile(objective.losses, dynamic=False, **named)
        self._gradients: Callable[..., Losses] = self._whole_gradients
        if ranks.size > 1 or config.optim.micro_batches > 1:
            self._gradients = PartedGradients(
                objective,
                losses=self._losses,
                micro_batches=config.optim.micro_batches,
                ranks=ranks,
                encode=self._encode,
            )

    def __call__(self, batch: Batch, *, view: Tensor | None) -> Outcome:
        """Take one step; the gradients it went by stay until the next."""
        self._optimizer.zero_grad(set_to_none=True)
        losses = self._gradients(batch, view=view)
        outcome = {"loss": losses.total.detach(), **losses.parts}
        if self._optim.clip_norm is not None:
            outcome["gradient_norm"] = torch.nn.utils.clip_grad_norm_(
                self._objective.parameters(), self._optim.clip_norm
            )
        self._optimizer.step()
        return outcome

    def _encode(self, windows: Tensor) -> Embeddings:
        with encoder_precision(self._optim.precision, device=self._device):
            plain, _ = self._objective.embed(windows, view=None)
        return plain

    def _whole_gradients(self, batch: Batch, *, view: Tensor | None) -> Losses:
        with encoder_precision(self._optim.precision, device=self._device):
            plain, viewed = self._objective.embed(batch.imu, view=view)
        losses = self._losses(plain, batch=batch, view=viewed)
        torch.autograd.backward(losses.total)
        return losses


def _check_compile(compiled: str, *, device: torch.device, ranks: Ranks) -> None:
    if compiled == "graphs" and device.type != "cuda":
        raise UsageError(f"optim.compile graphs needs device cuda, got device {device.type}")
    if compiled == "graphs" and ranks.size > 1:
        raise UsageError(
            f"optim.compile graphs records one process alone, got {ranks.size}: take compile or off"
        )
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
    ranks: Ranks = SOLO,
) -> Step | RecordedStep:
    """Return the step that a config asks for.

    Raises:
        UsageError: if the device has not the precision, what ``optim.compile`` needs is absent, or
            a batch does not fall into equal parts.
    """
    check_precision(config.optim.precision, device=device)
    _check_compile(config.optim.compile, device=device, ranks=ranks)
    check_parts(
        batch_size=config.data.batch_size, micro_batches=config.optim.micro_batches, ranks=ranks
    )
    step = Step(objective, optimizer, config=config, device=device, ranks=ranks)
    if config.optim.compile != "graphs":
        return step
    return RecordedStep(
        step, recorder=CudaRecorder(device), prepare=lambda: optimizer.zero_grad(set_to_none=True)
    )
