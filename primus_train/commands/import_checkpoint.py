"""Published checkpoints as runs."""

import argparse
from pathlib import Path
from typing import Any, Final

from primus_train.commands.options import RAW, Subparsers, add_reporting

__all__ = ["add"]

_EXAMPLES: Final = """examples:
  primus-train import-checkpoint primus_best.ckpt --out runs/published
  primus-train import-checkpoint src_encoder.pt --layout imu2clip --out runs/imu2clip
  primus-train import-checkpoint primus_best.ckpt --objective ss+mm --out runs/published
"""


def add(commands: Subparsers) -> None:
    """Add the command to the program."""
    parser = commands.add_parser(
        "import-checkpoint",
        formatter_class=RAW,
        help="make a run of a published checkpoint",
        description="Read the encoder of a published PRIMUS or IMU2CLIP checkpoint into a run's "
        "folder, which probe, retrieve and export read like any other. Files that hold "
        "Python objects besides tensors are refused.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "source", type=Path, metavar="SRC", help="Lightning checkpoint, or the encoder's state dict"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument(
        "--layout",
        default="auto",
        choices=("auto", "primus", "primus-one-head", "imu2clip"),
        help="auto tells it by the keys, and takes an encoder without heads for IMU2CLIP's",
    )
    parser.add_argument(
        "--objective",
        metavar="NAME",
        help="what it was trained by (default primus, or imu2clip where there are no heads)",
    )
    parser.add_argument(
        "--rate-hz", metavar="HZ", help="of its windows (default 50, 200 for imu2clip)"
    )
    parser.add_argument(
        "--samples", type=int, metavar="T", help="of a window (default 250, 1000 for imu2clip)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace another imported run")
    add_reporting(parser, run_command=_run)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from primus_train.interchange.import_run import import_checkpoint

    record = import_checkpoint(
        args.source,
        out=args.out,
        layout=args.layout,
        objective=args.objective,
        rate_hz=args.rate_hz,
        samples=args.samples,
        overwrite=args.overwrite,
    )
    return {"run": str(args.out), **record}
