"""The arithmetic of matrix products while training; torch keeps part of it in global switches."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from schemas.errors import UsageError

__all__ = ["Precision", "check_precision", "encoder_precision", "product_precision"]

Precision = Literal["float32", "tf32", "bf16"]


def check_precision(precision: Precision, *, device: torch.device) -> None:
    """Refuse a precision that the device does not have.

    Raises:
        UsageError: for tf32 off CUDA, and for bf16 on a GPU without it.
    """
    if precision == "tf32" and device.type != "cuda":
        raise UsageError(f"optim.precision tf32 needs device cuda, got device {device.type}")
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        name = torch.cuda.get_device_name(device)
        raise UsageError(f"optim.precision bf16 needs a GPU with bfloat16, got {name}")


@contextmanager
def product_precision(precision: Precision, *, device: torch.device) -> Iterator[None]:
    """Allow TensorFloat-32 on CUDA inside, or forbid it; torch allows it in convolutions and GRUs.

    Off CUDA the switches mean nothing and are left alone.
    """
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.allow_tf32)
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def encoder_precision(precision: Precision, *, device: torch.device) -> torch.autocast:
    """Return the context in which the encoder runs: bfloat16 products under ``bf16``."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
