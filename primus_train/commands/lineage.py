"""From a run to the bytes it came from."""

import argparse
from pathlib import Path
from typing import Any, Final

from primus_train.commands.options import RAW, Subparsers, add_reporting

__all__ = ["add"]

_EXAMPLES: Final = """examples:
  primus-train lineage runs/primus
"""


def add(commands: Subparsers) -> None:
    """Add the command to the program."""
    parser = commands.add_parser(
        "lineage",
        formatter_class=RAW,
        help="from a run to its store, and from there to source files and code",
        description="Tell what a run was trained on: store, version and mask, and what the "
        "version's own files say of its sources, encoder, config and code. The store is asked "
        "first; where it cannot be, what the run kept of it is told.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    add_reporting(parser, run_command=_run)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from primus_train.lineage import read_run_lineage

    report: dict[str, Any] = read_run_lineage(args.run).model_dump(mode="json")
    return report
