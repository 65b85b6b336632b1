"""Classification by the nearest sentences, without a labelled window."""

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
  primus-prep embed-prompts --encoder ENCODER --labels egoexo4d --out prompts.json
  primus-train zeroshot --checkpoint runs/primus --store STORE@latest --prompts prompts.json \\
      --out results/zeroshot
  primus-train zeroshot --checkpoint runs/primus --store STORE@latest --out results/narrations
"""


def add(commands: Subparsers) -> None:
    """Add the command to the program."""
    parser = commands.add_parser(
        "zeroshot",
        formatter_class=RAW,
        help="classification by the nearest sentences",
        description="Give each labelled window the class whose sentences its embedding is nearest "
        "to, and score that: table (Parquet, JSON) of accuracy, balanced accuracy, macro-F1 and "
        "confusion. Nothing is fitted.",
        epilog=_EXAMPLES,
    )
    add_reading(parser)
    add_checkpoint(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="results' folder")
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="sentences of each class from primus-prep embed-prompts; without it the narrations of "
        "the class's segments in split train stand for it, and the result says that it has seen "
        "labels",
    )
    parser.add_argument(
        "--splits", type=str_list, default=("test",), metavar="SPLIT,...", help="default test"
    )
    parser.add_argument("--classes", type=str_list, metavar="LABEL,...", help="default all labels")
    add_reporting(parser, run_command=_run)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from primus_train.reports import report_zeroshot

    check_splits(args.splits)
    with evaluating(args, title="zeroshot") as shared:
        return report_zeroshot(
            args.checkpoint,
            splits=args.splits,
            classes=args.classes,
            prompts=args.prompts,
            **shared,
        )
