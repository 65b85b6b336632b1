"""Where an encoder runs and in which precision: what the config leaves open, the machine says."""

import torch

from schemas.errors import UsageError

__all__ = ["choose_device", "choose_precision", "torch_dtype"]


def choose_device(device: str) -> str:
    """Return ``cpu`` or ``cuda``; ``auto`` takes the GPU where there is one.

    Raises:
        UsageError: if the machine lacks the one asked for.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("encoder.device must be a device this machine has, got cuda")
    return device


def choose_precision(precision: str, *, device_kind: str) -> str:
    """Return ``float32`` or ``bfloat16``; ``auto`` takes bfloat16 on a GPU that computes in it.

    Raises:
        UsageError: if bfloat16 is asked of a GPU that only emulates it.
    """
    native = device_kind == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        return "bfloat16" if device_kind == "cuda" and native else "float32"
    if precision == "bfloat16" and not native:
        raise UsageError(
            "encoder.precision must be one this GPU computes in, got bfloat16; use float32"
        )
    return precision


def torch_dtype(precision: str) -> torch.dtype:
    """Return torch's name for a precision."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
