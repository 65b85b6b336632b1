"""An encoder as a portable file."""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from primus_train.commands.options import RAW, Subparsers, add_reporting

__all__ = ["add"]

_EXAMPLES: Final = """examples:
  primus-train export runs/primus --format onnx --out primus.onnx
  primus-train export runs/primus --format torch --out primus.pt2
  primus-train export runs/primus --format safetensors --out primus.safetensors
"""


def add(commands: Subparsers) -> None:
    """Add the command to the program."""
    parser = commands.add_parser(
        "export",
        formatter_class=RAW,
        help="write an encoder as a portable file",
        description="Write a run's encoder as ONNX, as a torch.export program or as safetensors, "
        "with a model card beside it. ONNX and the program take any number of windows at once, and "
        "are written only where they give PyTorch's embeddings to 1e-4.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder or a checkpoint file")
    parser.add_argument(
        "--format", required=True, choices=("onnx", "torch", "safetensors"), help="of the file"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="ends in .onnx, .pt2, .safetensors"
    )
    parser.add_argument(
        "--representation", help="auto, multimodal, unimodal or backbone (default auto)"
    )
    parser.add_argument("--license", metavar="TEXT", help="of the weights, for the card")
    parser.add_argument("--overwrite", action="store_true", help="replace the file")
    add_reporting(parser, run_command=_run)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from primus_train.interchange.export import export_encoder

    return export_encoder(
        args.run,
        kind=args.format,
        out=args.out,
        representation=args.representation,
        licence=args.license,
        overwrite=args.overwrite,
        on_stage=_say_stage,
    )


def _say_stage(stage: str) -> None:
    sys.stderr.write(f"export: {stage}\n")
