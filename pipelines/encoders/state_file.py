"""Tensors of one weight file by their names, without running anything that is stored in it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from schemas.errors import UsageError

__all__ = ["read_state", "read_state_names"]

_T = TypeVar("_T")


def read_state_names(path: Path) -> frozenset[str]:
    """Return the names in a weight file; the tensors stay on disk.

    Raises:
        UsageError: if it is no file of named tensors.
    """
    if path.suffix == ".safetensors":
        return _guarded(path, lambda: _read_safetensors_names(path))
    return frozenset(read_state(path))


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return a weight file's tensors by name, mapped from the file where its layout allows.

    Raises:
        UsageError: if it is no file of named tensors.
    """
    if path.suffix == ".safetensors":
        return _guarded(path, lambda: load_file(path))
    state = _guarded(path, lambda: _load(path))
    if not isinstance(state, Mapping) or not state:
        raise UsageError(
            f"encoder weights must be named tensors, got a {type(state).__name__} [{path}]"
        )
    return {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}


def _read_safetensors_names(path: Path) -> frozenset[str]:
    with safe_open(path, framework="pt") as file:
        return frozenset(file.keys())


def _load(path: Path) -> Any:  # noqa: ANN401 - whatever was stored
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:
        # torch's layout before 1.6 cannot be mapped.
        return torch.load(path, map_location="cpu", weights_only=True)


def _guarded(path: Path, read: Callable[[], _T]) -> _T:
    try:
        return read()
    # An unpickler that is fed nonsense raises whatever it stumbles over, MemoryError included.
    except Exception as error:
        raise UsageError(
            "encoder weights must be a file of tensors that torch's weights-only loader takes, "
            f"got {str(error).splitlines()[0] if str(error) else type(error).__name__} [{path}]"
        ) from error
