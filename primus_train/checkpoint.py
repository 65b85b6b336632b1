"""Checkpoints: tensors and one JSON text in a file, and nothing else."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from primus_train.files import write_atomic
from schemas.errors import NewerFormatError, PrimusError, StoreNotFoundError

__all__ = ["Checkpoint", "find_checkpoint", "read_checkpoint", "write_checkpoint"]

CHECKPOINT_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """Tensors by name, and what they mean."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors under ``prefix.``, their names without it."""
        start = f"{prefix}."
        return {n.removeprefix(start): t for n, t in self.tensors.items() if n.startswith(start)}


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint to ``path``, whole or not at all."""
    meta = {"checkpoint_format": CHECKPOINT_FORMAT, **checkpoint.meta}
    tensors = {name: t.detach().cpu().clone() for name, t in checkpoint.tensors.items()}
    buffer = io.BytesIO()
    torch.save({"tensors": tensors, "meta": json.dumps(meta, allow_nan=False)}, buffer)
    write_atomic(path, buffer.getvalue())


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint in ``path``, on the CPU.

    Raises:
        StoreNotFoundError: if there is no such file.
        NewerFormatError: if a newer program wrote it.
        PrimusError: if it is no checkpoint of ours.
    """
    if not path.is_file():
        raise StoreNotFoundError(f"checkpoint must exist, none found [file={path}]")
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
        meta: dict[str, Any] = json.loads(raw["meta"])
        tensors: dict[str, Tensor] = raw["tensors"]
        written_by = int(meta["checkpoint_format"])
    except Exception as error:
        raise PrimusError(
            f"checkpoint must hold tensors and JSON as primus-train writes them, got "
            f"{type(error).__name__} [file={path}]"
        ) from error
    if written_by > CHECKPOINT_FORMAT:
        raise NewerFormatError(
            f"checkpoint_format must be at most {CHECKPOINT_FORMAT}, got {written_by} [file={path}]"
        )
    return Checkpoint(tensors=tensors, meta=meta)


def find_checkpoint(run: Path) -> Path:
    """Return the checkpoint that ``run`` names: a file, or the best one of a run's folder.

    Raises:
        StoreNotFoundError: if there is none.
    """
    path = run / "best.pt" if run.is_dir() else run
    if not path.is_file():
        raise StoreNotFoundError(
            f"checkpoint must be a file or the folder of a run with best.pt, none found [{run}]"
        )
    return path
