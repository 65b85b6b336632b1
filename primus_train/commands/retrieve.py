"""How often an IMU window finds its own video and sentence."""

import argparse
from pathlib import Path
from typing import Any, Final

from primus_train.commands.options import (
    RAW,
    Subparsers,
    add_checkpoint,
    add_reading,
    add_reporting,
    say_store,
    str_list,
)
from schemas.errors import UsageError

__all__ = ["add"]

_EXAMPLES: Final = """examples:
  primus-train retrieve --checkpoint runs/primus --store STORE@latest --splits val,test --json
"""


def add(commands: Subparsers) -> None:
    """Add the command to the program."""
    parser = commands.add_parser(
        "retrieve",
        formatter_class=RAW,
        help="how often an IMU window finds its own video and sentence",
        description="Score IMU-to-video and IMU-to-text retrieval over all non-overlapping "
        "segments of the given splits: R@1, R@5, R@10 and MRR, ties averaged; chance is 1/n.",
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
    from primus_train.progress import Progress
    from primus_train.reports import report_retrieval
    from primus_train.runs import pick_device
    from schemas.segment import SPLITS

    unknown = [split for split in args.splits if split not in SPLITS]
    if unknown:
        raise UsageError(f"--splits must be among {', '.join(SPLITS)}, got {unknown[0]!r}")
    with (
        Progress("fetch", unit="megabyte") as fetched,
        Progress("retrieve", unit="window") as progress,
    ):
        return report_retrieval(
            args.checkpoint,
            store=args.store,
            splits=args.splits,
            out=args.out,
            overwrite=args.overwrite,
            device=pick_device(args.device),
            on_progress=lambda _, done, total: progress.show(done, total=total),
            on_open=say_store,
            on_fetch=fetched.show_bytes,
        )
