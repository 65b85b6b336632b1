"""The program ``primus-train``."""

import argparse
import json
import math
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from primus_train.words import say
from schemas.errors import PrimusError, UsageError

__all__ = ["main"]

# Heavy libraries are imported by the commands that need them: --help answers at once.

_EXAMPLES: Final = """examples:
  primus-train fit --store STORE@latest --objective primus --out runs/primus
  primus-train fit --store STORE@v1 --mask keep10 --objective imu2clip --out runs/clip \\
      --set epochs=30 --set data.batch_size=128
  primus-train probe --checkpoint runs/primus --store STORE@latest --shots 1,5,10,20 \\
      --trials 10 --out results/primus
  primus-train probe --checkpoint runs/primus --untrained --store STORE@latest --out results/none
  primus-train retrieve --checkpoint runs/primus --store STORE@latest --splits val,test --json
  primus-train fit --store s3://bucket/store@v1 --out runs/remote
  primus-train lineage runs/primus

A store is a folder or any URI that fsspec knows, such as s3://bucket/store. A remote version is
fetched once into the folder PRIMUS_CACHE (default: primus in the user's cache); credentials come
from the environment, such as AWS_ACCESS_KEY_ID.
"""


def _int_list(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be whole numbers, got {text!r}") from error


def _str_list(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _make_parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="primus-train",
        description="Pretrain IMU encoders from published stores, and measure them.",
        epilog=_EXAMPLES,
        formatter_class=raw,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--store", required=True, metavar="URI[@REF]", help="store and version")
    common.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    common.add_argument("--overwrite", action="store_true", help="replace another result in --out")
    common.add_argument("--json", action="store_true", help="print one JSON object and no more")
    common.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    fit = commands.add_parser(
        "fit",
        parents=[common],
        formatter_class=raw,
        help="pretrain an IMU encoder",
        description="Pretrain an IMU encoder on split train; split val chooses the checkpoint. A "
        "finished run of the same store version, mask, config and seed in --out is reused.",
        epilog=_EXAMPLES,
    )
    fit.add_argument("--out", required=True, type=Path, metavar="RUN", help="the run's folder")
    fit.add_argument("--mask", metavar="NAME", help="hide video and text of some train rows")
    fit.add_argument(
        "--objective",
        metavar="NAME",
        help="primus, simclr, imu2clip, or a sum of ss, mm and nn such as ss+nn (default primus)",
    )
    fit.add_argument("--config", type=Path, metavar="FILE", help="YAML file with config fields")
    fit.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="FIELD=VALUE",
        help="set a config field, over file and flags; may be repeated",
    )
    fit.add_argument("--seed", type=int, metavar="S", help="of weights, order and views")
    fit.add_argument("--resume", action="store_true", help="go on with an unfinished run")

    probe = commands.add_parser(
        "probe",
        parents=[common],
        formatter_class=raw,
        help="few-shot linear probe of an encoder",
        description="Fit a linear classifier on k labelled windows a class of split train and "
        "score it: table (Parquet, JSON) and figure, mean and standard error over trials.",
        epilog=_EXAMPLES,
    )
    _add_checkpoint(probe)
    probe.add_argument("--out", required=True, type=Path, metavar="DIR", help="results' folder")
    probe.add_argument("--shots", type=_int_list, metavar="K,...", help="default 1,5,10,20")
    probe.add_argument("--trials", type=int, metavar="N", help="redraws of the shots (default 5)")
    probe.add_argument("--eval-splits", type=_str_list, metavar="SPLIT,...", help="default test")
    probe.add_argument("--classes", type=_str_list, metavar="LABEL,...", help="default all labels")
    probe.add_argument(
        "--representation", help="auto, multimodal, unimodal or backbone (default auto)"
    )
    probe.add_argument("--seed", type=int, metavar="S", help="of the shots")
    probe.add_argument(
        "--untrained", action="store_true", help="probe the run's encoder as it was at the start"
    )

    retrieve = commands.add_parser(
        "retrieve",
        parents=[common],
        formatter_class=raw,
        help="how often an IMU window finds its own video and sentence",
        description="Score IMU-to-video and IMU-to-text retrieval over all non-overlapping "
        "segments of the given splits: R@1, R@5, R@10 and MRR, ties averaged; chance is 1/n.",
        epilog=_EXAMPLES,
    )
    _add_checkpoint(retrieve)
    retrieve.add_argument(
        "--splits", type=_str_list, default=("test",), metavar="SPLIT,...", help="default test"
    )
    retrieve.add_argument("--out", type=Path, metavar="DIR", help="also write retrieve.json there")

    lineage = commands.add_parser(
        "lineage",
        formatter_class=raw,
        help="from a run to its store, and from there to source files and code",
        description="Tell what a run was trained on: store, version and mask, and what the "
        "version's own files say of its sources, encoder, config and code. The store is asked "
        "first; where it cannot be, what the run kept of it is told.",
        epilog=_EXAMPLES,
    )
    lineage.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    lineage.add_argument("--json", action="store_true", help="print one JSON object and no more")
    lineage.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        required=True,
        type=Path,
        metavar="RUN",
        help="a run's folder (its best checkpoint) or a checkpoint file",
    )


def _say_store(line: str) -> None:
    sys.stderr.write(f"store: {line}\n")


def _fit(args: argparse.Namespace) -> dict[str, Any]:
    from primus_train.config import make_fit_config, parse_objective
    from primus_train.loop import FitState
    from primus_train.progress import Progress
    from primus_train.runs import fit

    flags: dict[str, Any] = {}
    if args.objective is not None:
        flags["objective.terms"] = parse_objective(args.objective)
    if args.seed is not None:
        flags["seed"] = args.seed
    config = make_fit_config(file=args.config, flags=flags, overrides=args.overrides)
    with Progress("fetch", unit="megabyte") as fetched, Progress("fit", unit="step") as progress:

        def on_step(state: FitState) -> None:
            note = f"epoch {state.epoch}"
            if math.isfinite(state.loss):  # the first steps' losses are not read yet
                note += f" loss {state.loss:.4f}"
            if state.best is not None:
                note += f" best {state.best['metric']} {state.best['value']:.4f}"
            progress.show(state.step, total=state.steps, note=note)

        record = fit(
            args.store,
            config=config,
            out=args.out,
            mask=args.mask,
            resume=args.resume,
            overwrite=args.overwrite,
            device=args.device,
            on_step=on_step,
            on_open=_say_store,
            on_fetch=fetched.show_bytes,
        )
    return {"run": str(args.out), **record}


def _probe(args: argparse.Namespace) -> dict[str, Any]:
    from pydantic import ValidationError

    from primus_train.probes.fewshot import ProbeConfig
    from primus_train.progress import Progress
    from primus_train.reports import report_probe
    from primus_train.runs import pick_device

    names = ("shots", "trials", "eval_splits", "classes", "representation", "seed")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    try:
        config = ProbeConfig.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = "-".join(str(part) for part in first["loc"][:1]).replace("_", "-")
        raise UsageError(f"--{field}: {first['msg']}, got {first['input']!r}") from error
    with (
        Progress("fetch", unit="megabyte") as fetched,
        Progress("probe", unit="window") as windows,
        Progress("probe", unit="trial") as trials,
    ):
        bars = {"window": windows, "trial": trials}
        return report_probe(
            args.checkpoint,
            store=args.store,
            out=args.out,
            config=config,
            untrained=args.untrained,
            overwrite=args.overwrite,
            device=pick_device(args.device),
            on_progress=lambda unit, done, total: bars[unit].show(done, total=total),
            on_open=_say_store,
            on_fetch=fetched.show_bytes,
        )


def _retrieve(args: argparse.Namespace) -> dict[str, Any]:
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
            on_open=_say_store,
            on_fetch=fetched.show_bytes,
        )


def _lineage(args: argparse.Namespace) -> dict[str, Any]:
    from primus_train.lineage import read_run_lineage

    report: dict[str, Any] = read_run_lineage(args.run).model_dump(mode="json")
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``primus-train`` and return its exit code: 0 done, 1 failed, 2 wrong usage."""
    try:
        args = _make_parser().parse_args(argv)
    except SystemExit as error:  # argparse has said why
        return int(error.code or 0)
    try:
        run = {"fit": _fit, "probe": _probe, "retrieve": _retrieve, "lineage": _lineage}[
            args.command
        ]
        report = run(args)
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
    text = json.dumps(report, allow_nan=False) if args.json else say(args.command, report)
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
