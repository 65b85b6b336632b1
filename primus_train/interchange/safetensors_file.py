"""Encoders as safetensors: tensors by name, and what they mean as text in the header."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from primus_train.config import EncoderConfig
from primus_train.encoders.stacked_rnn import StackedRnn
from primus_train.interchange.extra import import_extra
from schemas.errors import PrimusError, StoreNotFoundError

__all__ = ["SUFFIX", "dump_safetensors", "read_safetensors"]

SUFFIX: Final = ".safetensors"
_META: Final = "primus_train"


def dump_safetensors(state: Mapping[str, Tensor], *, meta: Mapping[str, Any]) -> bytes:
    """Return the file's bytes.

    Args:
        state: of a `StackedRnn`.
        meta: JSON values, among them ``imu``, ``encoder`` and ``representation``.

    Raises:
        UsageError: if safetensors is not installed.
        PrimusError: if the bytes do not give the tensors back.
    """
    library = import_extra("safetensors.torch")
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    text = json.dumps(meta, allow_nan=False, sort_keys=True)
    data: bytes = library.save(tensors, metadata={_META: text})
    back: dict[str, Tensor] = library.load(data)
    wrong = [n for n, t in tensors.items() if n not in back or not torch.equal(t, back[n])]
    if wrong:
        raise PrimusError(f"safetensors must give every tensor back, {wrong[0]} differs")
    return data


def read_safetensors(path: Path) -> tuple[StackedRnn, dict[str, Any]]:
    """Return the encoder in ``path``, and what it is.

    Raises:
        StoreNotFoundError: if there is no such file.
        PrimusError: if it is none that ``primus-train export`` wrote.
    """
    library = import_extra("safetensors")
    if not path.is_file():
        raise StoreNotFoundError(f"exported encoder must be a file, none found [file={path}]")
    try:
        with library.safe_open(path, framework="pt") as file:
            meta: dict[str, Any] = json.loads(file.metadata()[_META])
            state: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        config = EncoderConfig.model_validate(meta["encoder"])
        encoder = StackedRnn(
            channels=len(meta["imu"]["channels"]),
            gru_axis=config.gru_axis,
            pooling=config.pooling,
        )
        encoder.load_state_dict(state)
    except Exception as error:
        raise PrimusError(
            f"exported encoder must be what primus-train export wrote, got {type(error).__name__} "
            f"[file={path}]"
        ) from error
    return encoder, meta
