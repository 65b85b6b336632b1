"""The layouts of published checkpoints: which file holds which encoder, and under which names.

PRIMUS (Das et al. 2025) publishes an encoder of two heads. IMU2CLIP (Moon et al. 2023), and PRIMUS
trained without its second head, publish the same network without heads: what they contrast is the
GRU's last state, so that both of our heads become the identity. Their tensors have the same names
and shapes and tell nothing of the one difference, the third convolution's pooling.
"""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from primus_train.encoders.stacked_rnn import WIDTH, Pooling, StackedRnn
from schemas.errors import StoreNotFoundError, UsageError

__all__ = ["LAYOUTS", "Layout", "LayoutName", "find_layout", "published_state", "read_published"]

LayoutName = Literal["primus", "primus-one-head", "imu2clip"]

_ENCODER: Final = "imu_encoder."
"""Where a Lightning checkpoint keeps the encoder; a file of it alone has no such prefix."""
_HEADS: Final = ("ssl_head", "mmcl_head")
_TOLD: Final = 6
"""Names told in an error, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One way in which encoders are published.

    Attributes:
        trunk: name of the convolutions and the GRU, ours being ``backbone``.
        heads: whether the file holds the two heads.
        pooling: of the third convolution.
        rate_hz: of the windows it was trained on, as a fraction.
        samples: T of them.
        objective: what it was trained by, unless the user knows better.
    """

    trunk: str
    heads: bool
    pooling: Pooling
    rate_hz: str
    samples: int
    objective: str


LAYOUTS: Final[dict[LayoutName, Layout]] = {
    "primus": Layout(
        trunk="backbone",
        heads=True,
        pooling="adaptive",
        rate_hz="50",
        samples=250,
        objective="primus",
    ),
    "primus-one-head": Layout(
        trunk="net",
        heads=False,
        pooling="adaptive",
        rate_hz="50",
        samples=250,
        objective="imu2clip",
    ),
    "imu2clip": Layout(
        trunk="net",
        heads=False,
        pooling="max",
        rate_hz="200",
        samples=1000,
        objective="imu2clip",
    ),
}


def read_published(path: Path) -> dict[str, Tensor]:
    """Return the encoder's tensors in a published checkpoint, named as in its own module.

    Args:
        path: a Lightning checkpoint, whose encoder keys start with ``imu_encoder.`` and whose
            other entries are passed over, or a state dict of the encoder alone.

    Raises:
        StoreNotFoundError: if there is no such file.
        UsageError: if the file holds anything but tensors and plain values, or no such encoder.
    """
    if not path.is_file():
        raise StoreNotFoundError(f"checkpoint to import must be a file, none found [file={path}]")
    try:
        raw: Any = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except Exception as error:
        # Told by its name: nothing here imports the module that could run what a file holds.
        if type(error).__name__ == "UnpicklingError":
            raise UsageError(_refusal(str(error), path=path)) from error
        raise UsageError(
            f"checkpoint to import must be a file of torch.save, reading it failed with "
            f"{type(error).__name__}: is it whole? [file={path}]"
        ) from error
    state = raw.get("state_dict", raw) if isinstance(raw, Mapping) else None
    if not isinstance(state, Mapping):
        raise UsageError(
            f"checkpoint to import must hold a state dict, got {type(raw).__name__} [file={path}]"
        )
    names = [name for name in state if isinstance(name, str)]
    prefix = _ENCODER if any(name.startswith(_ENCODER) for name in names) else ""
    found = {name.removeprefix(prefix): state[name] for name in names if name.startswith(prefix)}
    trunks = tuple(f"{layout.trunk}." for layout in LAYOUTS.values())
    if not any(name.startswith(trunks) for name in found):
        raise UsageError(
            f"checkpoint to import must hold an encoder under {_ENCODER}backbone or {_ENCODER}net, "
            f"its keys are {_told(names)} [file={path}]"
        )
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise UsageError(f"{name} must be a tensor, got {type(value).__name__} [file={path}]")
    return found


def _refusal(reason: str, *, path: Path) -> str:
    found = re.search(r"GLOBAL (\S+)", reason)
    what = f"found the Python object {found[1]}" if found else "found something else"
    return (
        f"checkpoint to import must hold tensors and plain values only, {what}, and loading it "
        "could run its code: where you trust the file, re-save its weights alone, "
        'torch.save(torch.load(FILE, weights_only=False)["state_dict"], NEW), and import NEW '
        f"[file={path}]"
    )


def _told(names: list[str]) -> str:
    if not names:
        return "none"
    more = len(names) - _TOLD
    return ", ".join(sorted(names)[:_TOLD]) + (f" and {more} more" if more > 0 else "")


def find_layout(state: Mapping[str, Tensor]) -> LayoutName:
    """Return the layout of an encoder's tensors; ``net`` is taken for IMU2CLIP's."""
    return "primus" if any(name.startswith("backbone.") for name in state) else "imu2clip"


def published_state(state: Mapping[str, Tensor], *, layout: LayoutName) -> dict[str, Tensor]:
    """Return a state dict of `StackedRnn` (float32) from an encoder's published tensors.

    Raises:
        UsageError: if a tensor is missing, over, of another shape or not finite; all are told.
    """
    spec = LAYOUTS[layout]
    wanted = {
        name.replace("backbone.", f"{spec.trunk}.", 1): (name, tensor)
        for name, tensor in StackedRnn(pooling=spec.pooling).state_dict().items()
        if spec.heads or not name.startswith(_HEADS)
    }
    missing = [name for name in wanted if name not in state]
    extra = [name for name in state if name not in wanted]
    shaped = [
        f"{name} is {tuple(state[name].shape)} instead of {tuple(ours.shape)}"
        for name, (_, ours) in wanted.items()
        if name in state and state[name].shape != ours.shape
    ]
    problems = [
        *([f"missing are {_told(missing)}"] if missing else []),
        *([f"over are {_told(extra)}"] if extra else []),
        *shaped[:_TOLD],
    ]
    if problems:
        raise UsageError(
            f"encoder must have the layout {layout} (stacked convolutions and a GRU of {WIDTH}), "
            f"{', '.join(problems)}: other architectures are not imported"
        )
    ours_by_theirs = {ours: state[theirs].float() for theirs, (ours, _) in wanted.items()}
    unsound = [name for name, value in ours_by_theirs.items() if not bool(value.isfinite().all())]
    if unsound:
        raise UsageError(f"weights must be finite, got NaN or infinity in {_told(unsound)}")
    if spec.heads:
        return ours_by_theirs
    identity = {
        f"{head}.{name}": value
        for head in _HEADS
        for name, value in (("weight", torch.eye(WIDTH)), ("bias", torch.zeros(WIDTH)))
    }
    return ours_by_theirs | identity
