"""The primus-prep program: arguments in, exit codes and one-line errors out."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

from flows import commands
from flows.presets import PRESETS
from flows.prompts_command import PROMPTS_EXAMPLES, add_prompts_parser
from flows.stopping import exit_code_of, stop_signals
from flows.store_commands import STORE_EXAMPLES, add_store_parser
from pipelines.config import DatasetName
from pipelines.synthetic.faults import faults_of
from pipelines.synthetic.registry import SYNTHETIC
from schemas.errors import PrimusError

__all__ = ["main"]

DATASETS: Final[tuple[str, ...]] = get_args(DatasetName)
MEASURE: Final = "measure"

_EXIT_CODES = (
    "exit codes: 0 done; 1 failed; 2 wrong usage or config; "
    "3 too many takes quarantined, nothing published"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run primus-prep and return its exit code."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    args.quiet = argv is None and not args.debug
    if args.handler is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        with stop_signals():
            code: int = args.handler(args)
    except PrimusError as error:
        if args.debug:
            traceback.print_exc()
        sys.stderr.write(f"primus-prep: {error}\n")
        return error.exit_code
    except KeyboardInterrupt as stop:
        sys.stderr.write("primus-prep: stopped; run it again to go on, what was done is kept\n")
        return exit_code_of(stop)
    except Exception as error:
        # A batch job wants one line; --debug shows the rest.
        if args.debug:
            traceback.print_exc()
        sys.stderr.write(f"primus-prep: {type(error).__name__}: {error} (--debug shows where)\n")
        return 1
    return code


def _fault_names() -> str:
    listed = [
        f"  {name}:\n"
        + "\n".join(
            f"    {fault.name:<22} {fault.what}; {fault.outcome}"
            + (f", {fault.reason or fault.shown_by}" if fault.reason or fault.shown_by else "")
            for fault in faults_of(name).values()
        )
        for name in SYNTHETIC
    ]
    return "faults, what comes of them and where it shows:\n" + "\n".join(listed) + "\n\n"


class _Adder:
    """Adds commands that all look alike: a sentence, examples, exit codes."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._commands = parser.add_subparsers(metavar="COMMAND", title="commands")

    def __call__(
        self, name: str, what: str, *examples: str, notes: str = ""
    ) -> argparse.ArgumentParser:
        shown = "\n".join(f"  primus-prep {name} {example}" for example in examples)
        return self._commands.add_parser(
            name,
            help=what,
            description=f"{what[0].upper()}{what[1:]}.",
            epilog=f"examples:\n{shown}\n\n{notes}{_EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="primus-prep",
        description="Turn egocentric recordings into versioned stores of synchronized triplets.",
        epilog=_EXIT_CODES,
    )
    parser.set_defaults(handler=None, debug=False)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    add = _Adder(parser)
    _add_synth(
        add(
            "synth",
            "write a synthetic dataset in the real on-disk layout",
            "data --dataset egoexo4d --takes 8 --seconds 20 --seed 0",
            "data --dataset ego4d --takes 24 --seconds 15 --faults all",
            notes=_fault_names(),
        )
    )
    _add_make_encoder(
        add(
            "make-encoder",
            "write a CLIP of random weights for offline runs",
            "encoder --preset tiny --seed 0",
            "encoder --preset vit-b-32 --layout clip4clip",
        )
    )
    add_prompts_parser(
        add(
            "embed-prompts",
            "embed sentences that describe classes, for zero-shot classification",
            *PROMPTS_EXAMPLES,
        ),
        finish=_finish_with_json,
    )
    _add_inventory(
        add(
            "inventory",
            "takes, streams and sizes of a dataset, before any work",
            "--dataset egoexo4d --root data",
            "--dataset realworld --root data --set dataset.positions=[head,waist] --json",
        )
    )
    _add_plan(
        add(
            "plan",
            "what a run would cost: segments, frames, bytes and hours, before any work",
            "--config prep.yaml",
            "--dataset egoexo4d --root data --store store --encoder encoder --json",
            "--config prep.yaml --workers 100 --cores-per-worker 4 --gpus 8 "
            "--rates frames.decode=120 --rates frames.encode=2000",
        )
    )
    _add_run(
        add(
            "run",
            "takes to a published store version",
            "--dataset egoexo4d --root data --store store --encoder encoder",
            "--config prep.yaml --set segments.policy=stride --executor dask --workers 4 --json",
            "--config prep.yaml --preset published --set imu.alignment=clock",
            "--config prep.yaml --profile --executor dask --dask-report dask.html",
        )
    )
    _add_run(
        add(
            "status",
            "what of a run is done, left and quarantined, and how long the rest takes",
            "--config prep.yaml",
            "--dataset egoexo4d --root data --store store --encoder encoder --json",
        ),
        handler=_run_status,
    )
    _add_retry(
        add(
            "retry",
            "run again only the takes quarantined for some reasons, then publish",
            "--config prep.yaml --reason source_unreadable",
            "--config prep.yaml --reason vrs_missing,video_missing --json",
            notes="takes that were never tried are prepared too, as the version holds all\n\n",
        )
    )
    add_store_parser(
        add("store", "look at a store, check, compare, mend and tidy it", *STORE_EXAMPLES),
        finish=_finish_with_json,
    )
    _add_mask(
        add(
            "mask",
            "add a named mask to a version",
            "store@latest --name tenth --keep 0.1 --seed 0",
        )
    )
    _add_report(
        add(
            "report",
            "write one self-contained HTML page about a version",
            "store@latest --out report.html",
        )
    )
    _add_demo(add("demo", "run the whole road on synthetic data, offline", "--out demo-out"))
    return parser


def _finish(parser: argparse.ArgumentParser, handler: commands.Handler, *, json: bool) -> None:
    parser.set_defaults(handler=handler)
    # SUPPRESS: a --debug given before the command is not reset by the command's own default.
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show tracebacks"
    )
    if json:
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _finish_with_json(parser: argparse.ArgumentParser, handler: commands.Handler) -> None:
    _finish(parser, handler, json=True)


def _add_synth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dest", type=Path, metavar="DEST", help="folder to write")
    parser.add_argument("--dataset", choices=SYNTHETIC, default="egoexo4d")
    parser.add_argument("--takes", type=int, default=8, metavar="N")
    parser.add_argument("--seconds", type=float, default=40.0, metavar="S", help="length of a take")
    parser.add_argument("--participants", type=int, default=4, metavar="P")
    parser.add_argument("--seed", type=int, default=0, metavar="K")
    parser.add_argument(
        "--full-size",
        choices=["none", "one", "all"],
        default="none",
        help="takes that also get the large picture (egoexo4d and ego4d)",
    )
    parser.add_argument(
        "--faults",
        default="",
        metavar="NAME,...",
        help="faults to plant, one take each; all: every fault of the dataset",
    )
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="processes")
    _finish(parser, commands.run_synth, json=True)


def _add_make_encoder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dest", type=Path, metavar="DEST", help="folder to write")
    parser.add_argument("--preset", choices=["tiny", "vit-b-32"], default="tiny")
    parser.add_argument(
        "--layout",
        choices=["transformers", "clip4clip"],
        default="transformers",
        help="clip4clip: a checkpoint as published, with the weights of encoder.pooling=seqTransf",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="K")
    _finish(parser, commands.run_make_encoder, json=True)


def _add_inventory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", required=True, choices=DATASETS)
    parser.add_argument("--root", required=True, metavar="DIR")
    _add_settings(parser, example="dataset.positions=[head,waist]")
    _finish(parser, commands.run_inventory, json=True)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument(
        "--workers", type=int, metavar="N", help="execution.workers, or those of the cluster"
    )
    parser.add_argument(
        "--cores-per-worker",
        type=int,
        metavar="C",
        help="price a cluster of such workers instead of this machine",
    )
    parser.add_argument(
        "--gpus", type=int, default=0, metavar="G", help="of that cluster; they encode for all"
    )
    parser.add_argument(
        "--rates",
        action="append",
        default=[],
        metavar="FILE|NAME=VALUE",
        help="in place of measured ones: frames=20 (items a second of one worker), start=15 "
        "(seconds), storage=1e9 (bytes a second for all); may be repeated",
    )
    parser.add_argument(
        "--recalibrate", action="store_true", help="measure rates anew instead of those kept"
    )
    parser.add_argument(
        "--trust-sizes",
        action="store_true",
        help="take a file for unchanged where its size is the one on record",
    )
    _add_settings(parser, example="segments.policy=stride")
    _finish(parser, _run_plan, json=True)


def _run_plan(args: argparse.Namespace) -> int:
    from flows.plan_command import run_plan

    return run_plan(args)


def _add_run(parser: argparse.ArgumentParser, handler: commands.Handler = commands.run_run) -> None:
    _add_config(parser)
    parser.add_argument(
        "--profile",
        nargs="?",
        const=MEASURE,
        choices=(MEASURE, *PRESETS),
        help="measure each stage beside its limit and name the bottleneck; takes some 10 s more "
        "(with a preset's name: the same as --preset)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="execution.workers")
    parser.add_argument("--dask-address", metavar="A", help="execution.dask_address")
    parser.add_argument(
        "--dask-report", metavar="FILE", help="execution.dask_report: Dask's own page, as HTML"
    )
    parser.add_argument("--tag", metavar="T", help="store.tag")
    _add_settings(parser, example="segments.policy=stride")
    _finish(parser, handler, json=True)


def _run_status(args: argparse.Namespace) -> int:
    from flows.status_command import run_status

    return run_status(args)


def _run_retry(args: argparse.Namespace) -> int:
    from flows.retry_command import run_retry

    return run_retry(args)


def _add_retry(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reason",
        required=True,
        metavar="CODE[,CODE]",
        help="quarantine reasons; takes quarantined for others are not touched",
    )
    _add_run(parser, handler=_run_retry)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="F", help="YAML file")
    parser.add_argument(
        "--preset", choices=PRESETS, help="start from these settings; all others win over them"
    )
    parser.add_argument("--dataset", choices=DATASETS, help="dataset.name")
    parser.add_argument("--root", metavar="DIR", help="dataset.root")
    parser.add_argument("--store", metavar="URI", help="store.uri")
    parser.add_argument("--encoder", metavar="NAME_OR_DIR", help="encoder.name")
    parser.add_argument(
        "--executor", choices=["inline", "threads", "dask"], help="execution.executor"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="dataset.limit")


def _add_settings(parser: argparse.ArgumentParser, *, example: str) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help=f"any field of the config, such as {example}; may be repeated",
    )


def _add_mask(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="URI[@REF]")
    parser.add_argument("--name", required=True, help="of the mask; same form as a tag")
    parser.add_argument("--keep", required=True, type=float, metavar="SHARE")
    parser.add_argument("--modalities", default="video,text", help="hidden together")
    parser.add_argument("--unit", choices=["segment", "take", "participant"], default="segment")
    parser.add_argument("--seed", type=int, default=0, metavar="K")
    parser.add_argument("--exact", action="store_true", help="exact counts in each label")
    _finish(parser, commands.run_mask, json=True)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ref", metavar="URI[@REF]")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.html")
    parser.add_argument(
        "--details", type=int, default=24, metavar="N", help="segments shown in full"
    )
    _finish(parser, commands.run_report, json=True)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR")
    parser.add_argument("--takes", type=int, default=32, metavar="N")
    parser.add_argument("--seconds", type=float, default=40.0, metavar="S")
    parser.add_argument("--seed", type=int, default=0, metavar="K")
    _finish(parser, commands.run_demo, json=True)


if __name__ == "__main__":
    sys.exit(main())
