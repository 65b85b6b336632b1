"""A run's numbers over time: one JSON line each, and the same in TensorBoard."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from torch.utils.tensorboard import SummaryWriter

from primus_train.files import write_atomic

__all__ = ["MetricsLog"]


def _flat(values: dict[str, Any], prefix: str) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}/{name}")
        else:
            flat[f"{prefix}/{name}"] = float(value)
    return flat


class MetricsLog:
    """Append to ``metrics.jsonl`` and ``tensorboard/`` in a run's folder.

    Args:
        out: the run's folder.
        from_step: lines of later steps, left by a run that was cut off, are dropped.
        silent: touch no file: another process keeps the log.
    """

    def __init__(self, out: Path, *, from_step: int, silent: bool = False) -> None:
        self._file: TextIO | None = None
        self._board: SummaryWriter | None = None
        if silent:
            return
        path = out / "metrics.jsonl"
        kept = []
        if path.is_file():
            # A line cut off by a crash has no newline; it lies after the last checkpoint.
            lines = [line for line in path.read_text().splitlines(keepends=True) if "\n" in line]
            kept = [line for line in lines if json.loads(line)["step"] <= from_step]
        write_atomic(path, "".join(kept).encode())
        self._file = path.open("a")
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=from_step + 1)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None and self._board is not None:
            self._file.close()
            self._board.close()

    def write(self, kind: str, *, step: int, epoch: int, values: dict[str, Any]) -> None:
        """Record ``values`` (nested dicts of numbers) of ``kind``, train or val, after a step."""
        if self._file is None or self._board is None:
            return
        line = {"kind": kind, "step": step, "epoch": epoch, **values}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()
        for name, value in _flat(values, kind).items():
            self._board.add_scalar(name, value, global_step=step)
