"""How often IMU windows, video and sentences find each other."""

import argparse
from pathlib import Path
from typing import Any, Final

from primus_train.commands.evaluating import evaluating
from primus_train.commands.options import (
    RAW,
    Subparsers,
    add_checkpoint,
    add_reading,
    add_reporting,
    check_splits,
    str_list,
)

__all__ = ["add"]

_EXAMPLES: Final = """examples:
  primus-train retrieve --checkpoint runs/primus --store STORE@latest --splits val,test --json
"""


def add(commands: Subparsers) -> None:
    """Add the command to the program."""
    parser = commands.add_parser(
        "retrieve",
        formatter_class=RAW,
        help="how often IMU windows, video and sentences find each other",
        description="Score retrieval over all non-overlapping segments of the given splits, IMU to "
        "video and text and back, and video to text and back as the frozen encoder left them: R@1, "
        "R@5, R@10 and MRR, ties averaged, beside chance. Also alignment and uniformity.",
        epilog=_EXAMPLES,
    )
    add_reading(parser)
    add_checkpoint(parser)
    parser.add_argument(
        "--splits", type=str_list, default=("test",), metavar="SPLIT,...", help="default test"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="also write retrieve.json there")
    add_reporting(parser, run_command=_run)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from primus_train.reports import report_retrieval

    check_splits(args.splits)
    with evaluating(args, title="retrieve") as shared:
        return report_retrieval(args.checkpoint, splits=args.splits, **shared)
