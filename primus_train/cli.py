"""The program ``primus-train``."""

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from typing import Final

from primus_train.commands import (
    export,
    fit,
    import_checkpoint,
    lineage,
    probe,
    retrieve,
    study,
    zeroshot,
)
from primus_train.commands.options import RAW
from primus_train.words import say
from schemas.errors import PrimusError

__all__ = ["main"]

_EXAMPLES: Final = """examples:
  primus-train fit --store STORE@latest --objective primus --out runs/primus
  primus-train fit --store STORE@v1 --mask keep10 --objective imu2clip --out runs/clip \\
      --set epochs=30 --set data.batch_size=128
  primus-train probe --checkpoint runs/primus --store STORE@latest --shots 1,5,10,20 \\
      --trials 10 --out results/primus
  primus-train probe --checkpoint runs/primus --untrained --store STORE@latest --out results/none
  primus-train zeroshot --checkpoint runs/primus --store STORE@latest --prompts prompts.json \\
      --out results/zeroshot
  primus-train retrieve --checkpoint runs/primus --store STORE@latest --splits val,test --json
  primus-train fit --store s3://bucket/store@v1 --out runs/remote
  primus-train import-checkpoint primus_best.ckpt --out runs/published
  primus-train export runs/primus --format onnx --out primus.onnx
  primus-train study baselines --store STORE@v1 --store OTHER@v1 --out study
  primus-train lineage runs/primus

A store is a folder or any URI that fsspec knows, such as s3://bucket/store. A remote version is
fetched once into the folder PRIMUS_CACHE (default: primus in the user's cache); credentials come
from the environment, such as AWS_ACCESS_KEY_ID.
"""

_COMMANDS: Final = (fit, probe, zeroshot, retrieve, study, lineage, import_checkpoint, export)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="primus-train",
        description="Pretrain IMU encoders from published stores, and measure them.",
        epilog=_EXAMPLES,
        formatter_class=RAW,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``primus-train`` and return its exit code: 0 done, 1 failed, 2 wrong usage."""
    try:
        args = _make_parser().parse_args(argv)
    except SystemExit as error:  # argparse has said why
        return int(error.code or 0)
    try:
        report = args.run_command(args)
    except KeyboardInterrupt:
        sys.stderr.write("primus-train: interrupted\n")
        return 1
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        sentence = " ".join(str(error).split()) or type(error).__name__
        if not isinstance(error, PrimusError):
            sentence = f"{type(error).__name__}: {sentence} (--debug shows where)"
        sys.stderr.write(f"primus-train: {sentence}\n")
        return error.exit_code if isinstance(error, PrimusError) else 1
    if report is None:  # another process of the same work reports
        return 0
    text = json.dumps(report, allow_nan=False) if args.json else say(args.command, report)
    sys.stdout.write(text + "\n")
    # A study tells all that it has, though some of it could not be made.
    return 1 if report.get("failed") else 0


if __name__ == "__main__":
    sys.exit(main())
