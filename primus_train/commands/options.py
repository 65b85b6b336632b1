"""Options and words that several commands share."""

import argparse
import sys
from pathlib import Path
from typing import Any, TypeAlias

from schemas.errors import UsageError

__all__ = [
    "RAW",
    "Subparsers",
    "add_checkpoint",
    "add_reading",
    "add_reporting",
    "check_splits",
    "int_list",
    "say_store",
    "str_list",
]

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
RAW = argparse.RawDescriptionHelpFormatter


def add_reporting(parser: argparse.ArgumentParser, **defaults: Any) -> None:  # noqa: ANN401
    """Add ``--json`` and ``--debug``, which every command has, and its defaults."""
    parser.add_argument("--json", action="store_true", help="print one JSON object and no more")
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.set_defaults(**defaults)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add what a command that reads a store and writes a result has."""
    parser.add_argument("--store", required=True, metavar="URI[@REF]", help="store and version")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    parser.add_argument("--overwrite", action="store_true", help="replace another result in --out")


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add ``--checkpoint``."""
    parser.add_argument(
        "--checkpoint",
        required=True,
        type=Path,
        metavar="RUN",
        help="a run's folder (its best checkpoint) or a checkpoint file",
    )


def int_list(text: str) -> tuple[int, ...]:
    """Return the whole numbers of a list with commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be whole numbers, got {text!r}") from error


def str_list(text: str) -> tuple[str, ...]:
    """Return the words of a list with commas."""
    return tuple(text.split(","))


def check_splits(splits: tuple[str, ...]) -> None:
    """Refuse a word of ``--splits`` that is no split."""
    from schemas.segment import SPLITS

    unknown = [split for split in splits if split not in SPLITS]
    if unknown:
        raise UsageError(f"--splits must be among {', '.join(SPLITS)}, got {unknown[0]!r}")


def say_store(line: str) -> None:
    """Say on stderr where a store's arrays are."""
    sys.stderr.write(f"store: {line}\n")
