"""Few-shot probes of an encoder."""

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
    int_list,
    str_list,
)
from schemas.errors import UsageError

__all__ = ["add"]

_EXAMPLES: Final = """examples:
  primus-train probe --checkpoint runs/primus --store STORE@latest --shots 1,5,10,20 \\
      --trials 10 --out results/primus
  primus-train probe --checkpoint runs/primus --store STORE@latest --shots-by take --out results/t
  primus-train probe --checkpoint runs/primus --untrained --store STORE@latest --out results/none
  primus-train probe --checkpoint runs/primus --untrained --protocol finetune \\
      --store STORE@latest --out results/standard-training
"""


def add(commands: Subparsers) -> None:
    """Add the command to the program."""
    parser = commands.add_parser(
        "probe",
        formatter_class=RAW,
        help="few-shot probe of an encoder",
        description="Fit a classifier on k labelled windows a class of split train and score it: "
        "table (Parquet, JSON) and figure, mean and standard error over trials.",
        epilog=_EXAMPLES,
    )
    add_reading(parser)
    add_checkpoint(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="results' folder")
    parser.add_argument("--shots", type=int_list, metavar="K,...", help="default 1,5,10,20")
    parser.add_argument(
        "--protocol",
        help="logistic, published, knn or finetune (all parameters; with --untrained: standard "
        "training); default logistic",
    )
    parser.add_argument(
        "--shots-by",
        help="segment, or take: shots from as many takes as possible (default segment)",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="of published and finetune")
    parser.add_argument("--trials", type=int, metavar="N", help="redraws of the shots (default 5)")
    parser.add_argument("--eval-splits", type=str_list, metavar="SPLIT,...", help="default test")
    parser.add_argument("--classes", type=str_list, metavar="LABEL,...", help="default all labels")
    parser.add_argument(
        "--representation", help="auto, multimodal, unimodal or backbone (default auto)"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="of the shots")
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="published, finetune: sentences of each class from primus-prep embed-prompts, where "
        "the head of an encoder aligned with text starts (default: at random)",
    )
    parser.add_argument(
        "--untrained", action="store_true", help="probe the run's encoder as it was at the start"
    )
    add_reporting(parser, run_command=_run)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from pydantic import ValidationError

    from primus_train.checkpoint import find_checkpoint
    from primus_train.probes.fewshot import ProbeConfig
    from primus_train.prompts import file_prompts
    from primus_train.reports import report_probe
    from primus_train.representation import read_pretrained

    names = (
        "protocol",
        "shots",
        "shots_by",
        "epochs",
        "trials",
        "eval_splits",
        "classes",
        "representation",
        "seed",
    )
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    try:
        config = ProbeConfig.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = "-".join(str(part) for part in first["loc"][:1]).replace("_", "-")
        raise UsageError(f"--{field}: {first['msg']}, got {first['input']!r}") from error
    prompts = None
    if args.prompts is not None:
        prompts = file_prompts(read_pretrained(find_checkpoint(args.checkpoint)), args.prompts)
    with evaluating(args, title="probe", units=("window", "trial")) as shared:
        return report_probe(
            args.checkpoint, config=config, prompts=prompts, untrained=args.untrained, **shared
        )
