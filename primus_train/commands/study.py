"""The paper's figures and tables."""

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from primus_train.commands.options import RAW, Subparsers, add_reporting, int_list, str_list
from schemas.errors import UsageError

__all__ = ["KINDS", "add"]

KINDS: Final = ("baselines", "ablation", "data-efficiency", "augmentations")

_EXAMPLES: Final = """studies:
  baselines        five ways to train (Fig. 4): PRIMUS, IMU2CLIP, SimCLR, MultitaskSSL, from scratch
  ablation         all seven subsets of PRIMUS's three terms (Fig. 5)
  data-efficiency  PRIMUS and IMU2CLIP with fewer and fewer videos and sentences (Fig. 6)
  augmentations    SimCLR under all 28 pairs of eight transformations, as a heat map

examples:
  primus-train study baselines --store EGOEXO@v1 --store EGO4D@v1 --store REALWORLD@v1 --out study
  primus-train study ablation --store EGOEXO@v1 --out study --shots 1,10,100 --jobs 4
  primus-train study data-efficiency --store EGOEXO@v1 --out study --shares 0.1,0.25,0.5,1.0
  primus-train study baselines ablation --store EGOEXO@v1 --out study --jobs 2
  primus-train study augmentations --store EGOEXO@v1 --out study --set epochs=2 --device cuda

A killed study goes on where it was when it is started again. Studies of one --out share their runs.
"""


def add(commands: Subparsers) -> None:
    """Add the command to the program."""
    parser = commands.add_parser(
        "study",
        formatter_class=RAW,
        help="the paper's figures and tables",
        description="Pretrain what a study compares on the first store, probe it on all, and write "
        "tables (Parquet, Markdown, LaTeX) and a figure (PDF, PNG), each number traced to its run, "
        "checkpoint, store and mask.",
        epilog=_EXAMPLES,
    )
    parser.add_argument(
        "studies",
        choices=KINDS,
        nargs="+",
        metavar="STUDY",
        help=f"one or more of {', '.join(KINDS)}; what they share is made once",
    )
    parser.add_argument(
        "--store",
        required=True,
        action="append",
        metavar="URI[@REF]",
        help="the first is trained on, each is a panel; may be repeated",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="results' folder")
    parser.add_argument(
        "--names", type=str_list, metavar="NAME,...", help="of the panels (default the data sets')"
    )
    parser.add_argument(
        "--shots",
        type=int_list,
        metavar="K,...",
        help="per class (default 1,5,10,50,100,500; data-efficiency 500; augmentations 10)",
    )
    parser.add_argument("--trials", type=int, metavar="N", help="redraws of the shots (default 5)")
    parser.add_argument(
        "--shares",
        type=_shares,
        metavar="SHARE,...",
        help="data-efficiency: of train segments with video and text (default 0.1,0.25,0.5,1.0)",
    )
    parser.add_argument(
        "--masks",
        type=_masks,
        metavar="NAME=SHARE,...",
        help="data-efficiency: which mask stands for a share, where several or none of the "
        "store's own fit",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML, as of fit")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="FIELD=VALUE",
        help="set a config field of all runs, as of fit; may be repeated",
    )
    parser.add_argument(
        "--probe",
        action="append",
        default=[],
        dest="probes",
        metavar="FIELD=VALUE",
        help="set a field of all probes, such as protocol=published; may be repeated",
    )
    parser.add_argument(
        "--prompts",
        type=Path,
        metavar="FILE",
        help="sentences of each class from primus-prep embed-prompts, where the heads of published "
        "and finetune start if the encoder is aligned with text (default: at random)",
    )
    parser.add_argument(
        "--metric", help="drawn: accuracy, balanced_accuracy or macro_f1 (default accuracy)"
    )
    parser.add_argument(
        "--reuse",
        action="append",
        default=[],
        type=Path,
        metavar="RUN",
        help="a finished run's folder, used where the study wants its like; may be repeated",
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="runs at a time (default one a CUDA device)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    add_reporting(parser, run_command=_run)


def _run(args: argparse.Namespace) -> dict[str, Any]:
    from primus_train.progress import Progress
    from primus_train.studies.settings import make_settings
    from primus_train.studies.study import run_studies

    of_shares = {name: getattr(args, name) for name in ("shares", "masks")}
    for name, value in of_shares.items():
        if "data-efficiency" not in args.studies and value is not None:
            said = ", ".join(args.studies)
            raise UsageError(f"--{name} is of study data-efficiency alone, got it for {said}")
    studies = [
        make_settings(
            study,
            stores=args.store,
            shots=args.shots,
            trials=args.trials,
            probe=args.probes,
            panel_names=args.names,
            metric=args.metric,
            prompts=args.prompts,
            config_file=args.config,
            overrides=tuple(args.overrides),
            **(of_shares if study == "data-efficiency" else {}),
        )
        for study in args.studies
    ]
    with Progress(", ".join(args.studies), unit="point") as progress:
        reports = run_studies(
            studies,
            out=args.out,
            jobs=args.jobs,
            device=args.device,
            reuse=args.reuse,
            on_points=lambda done, total, note: progress.show(done, total=total, note=note),
            on_wait=lambda: sys.stderr.write(f"study: waits for another one in {args.out}\n"),
        )
    if len(reports) == 1:
        return next(iter(reports.values()))
    return {"failed": sum(r["failed"] for r in reports.values()), "studies": reports}


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(sorted(float(part) for part in text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be numbers, got {text!r}") from error


def _masks(text: str) -> dict[str, float]:
    try:
        pairs = [part.rpartition("=") for part in text.split(",")]
        return {name: float(share) for name, _, share in pairs}
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be NAME=SHARE,..., got {text!r}") from error
