"""Export a run's encoder to a portable file, with a card beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, get_args

from primus_train.checkpoint import find_checkpoint
from primus_train.files import write_atomic
from primus_train.interchange.card import model_card
from primus_train.interchange.loading import pick_representation
from primus_train.interchange.portable import TOLERANCE, EncoderGraph, dump_onnx, dump_program
from primus_train.interchange.safetensors_file import SUFFIX, dump_safetensors
from primus_train.lineage import read_code
from primus_train.representation import Pretrained, read_pretrained
from schemas.errors import UsageError

__all__ = ["ExportFormat", "describe", "export_encoder"]

ExportFormat = Literal["onnx", "torch", "safetensors"]

_SUFFIXES: Final[dict[ExportFormat, str]] = {
    "onnx": ".onnx",
    "torch": ".pt2",
    "safetensors": SUFFIX,
}


def describe(pretrained: Pretrained, *, representation: str) -> dict[str, Any]:
    """Return what an exported file says of itself, as JSON values."""
    origin = pretrained.origin()
    config = pretrained.config
    settings = config.model_dump(mode="json")
    if origin["imported"] is not None:
        # Of how a published encoder was trained nothing is known but these two.
        settings = {name: settings[name] for name in ("encoder", "objective")}
        origin["seed"] = None
    return {
        "format": 1,
        "imu": pretrained.meta["imu"],
        "encoder": config.encoder.model_dump(mode="json"),
        "representation": representation,
        "run": {
            "key": origin["run"],
            "objective": config.objective.name,
            "checkpoint_sha256": pretrained.sha256,
            **{name: origin[name] for name in ("version", "mask", "step", "seed", "imported")},
            "best": pretrained.meta.get("best"),
            "config": settings,
            "code": read_code().commit,
        },
    }


def export_encoder(
    run: Path,
    *,
    kind: ExportFormat,
    out: Path,
    representation: str | None = None,
    licence: str | None = None,
    overwrite: bool = False,
    on_stage: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Write a run's encoder to ``out``, and its model card beside it as ``<out>.md``.

    Args:
        run: the run's folder (its best checkpoint) or a checkpoint file.
        kind: ``onnx`` and ``torch`` give one representation from windows of fixed length, any
            number at once; ``safetensors`` holds the whole encoder, for `load_encoder`.
        out: the file, with the ending of its format: .onnx, .pt2 or .safetensors.
        representation: ``multimodal``, ``unimodal`` or ``backbone``; None takes the run's own.
        licence: of the weights, for the card.
        overwrite: replace a file that is there.
        on_stage: called with what is being done.

    Returns:
        What was written, with the largest difference from PyTorch over several batches.

    Raises:
        UsageError: if the file is there, its ending is another, or a library is missing.
        PrimusError: if the file does not give PyTorch's embeddings to 1e-4; none is written.
    """
    if kind not in get_args(ExportFormat):
        raise UsageError(f"format must be {', '.join(_SUFFIXES)}, got {kind!r}")
    if out.suffix != _SUFFIXES[kind]:
        raise UsageError(f"a file of format {kind} must end in {_SUFFIXES[kind]}, got {out}")
    card = out.with_name(f"{out.name}.md")
    there = [path for path in (out, card) if path.exists()]
    if there and not overwrite:
        raise UsageError(
            f"exported file must be a new one, {there[0]} is there: give another --out, or "
            "--overwrite to replace it"
        )
    say = on_stage or (lambda _: None)
    say("reading the run")
    pretrained = read_pretrained(find_checkpoint(run))
    objective = pretrained.objective
    name = pick_representation(representation, default=objective.representation)
    meta = describe(pretrained, representation=name)
    channels, samples = len(meta["imu"]["channels"]), int(meta["imu"]["samples"])
    say(f"writing {kind} and comparing it with PyTorch")
    if kind == "safetensors":
        data = dump_safetensors(objective.encoder.state_dict(), meta=meta)
        difference = 0.0  # read back and compared bit by bit
    else:
        graph = EncoderGraph(objective.encoder, representation=name)
        dump = dump_onnx if kind == "onnx" else dump_program
        data, difference = dump(graph, channels=channels, samples=samples, meta=meta)
    write_atomic(out, data)
    write_atomic(card, model_card(meta, file=out.name, kind=kind, licence=licence).encode())
    return {
        "file": str(out),
        "card": str(card),
        "format": kind,
        "bytes": len(data),
        "representation": name,
        "largest_difference": difference,
        "tolerance": TOLERANCE,
        "input": {"name": "imu", "shape": ["batch", channels, samples], **meta["imu"]},
        "run": meta["run"]["key"],
        "checkpoint_sha256": pretrained.sha256,
        "reused": False,
    }
