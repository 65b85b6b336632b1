"""Pretrain an encoder."""

import argparse
import math
from pathlib import Path
from typing import Any, Final

from primus_train.commands.options import RAW, Subparsers, add_reading, add_reporting, say_store

__all__ = ["add"]

_EXAMPLES: Final = """examples:
  primus-train fit --store STORE@latest --objective primus --out runs/primus
  primus-train fit --store STORE@v1 --mask keep10 --objective imu2clip --out runs/clip \\
      --set epochs=30 --set data.batch_size=128
  primus-train fit --store s3://bucket/store@v1 --out runs/remote
  primus-train fit --store STORE@v1 --out runs/long --set optim.schedule=cosine \\
      --set optim.warmup_steps=500 --set patience=3 --resume
  torchrun --standalone --nproc-per-node 4 -m primus_train.cli fit --store STORE@v1 \\
      --out runs/four --set data.batch_size=1024
"""


def add(commands: Subparsers) -> None:
    """Add the command to the program."""
    parser = commands.add_parser(
        "fit",
        formatter_class=RAW,
        help="pretrain an IMU encoder",
        description="Pretrain an IMU encoder on split train; split val chooses the checkpoint. A "
        "finished run of the same store version, mask, config and seed in --out is reused. SIGTERM "
        "and Ctrl-C end it after a step, and --resume goes on from there to the bit.",
        epilog=_EXAMPLES,
    )
    add_reading(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--mask", metavar="NAME", help="hide video and text of some train rows")
    parser.add_argument(
        "--objective",
        metavar="NAME",
        help="primus, simclr, imu2clip, imu2clip-video, imu2clip-text, multitask, supervised, or a "
        "sum of ss, mm and nn such as ss+nn (default primus)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file with config fields")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="FIELD=VALUE",
        help="set a config field, over file and flags; may be repeated",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="of weights, order and views")
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    add_reporting(parser, run_command=_run)


def _run(args: argparse.Namespace) -> dict[str, Any] | None:
    from primus_train.config import make_fit_config, parse_objective
    from primus_train.distributed import rank_here
    from primus_train.loop import FitState
    from primus_train.progress import Pace, Progress
    from primus_train.runs import fit

    flags: dict[str, Any] = {}
    if args.objective is not None:
        named = parse_objective(args.objective)
        flags |= {f"objective.{field}": value for field, value in named.items()}
    if args.seed is not None:
        flags["seed"] = args.seed
    config = make_fit_config(file=args.config, flags=flags, overrides=args.overrides)
    with Progress("fetch", unit="megabyte") as fetched, Progress("fit", unit="step") as progress:
        pace = Pace()

        def on_step(state: FitState) -> None:
            pace.reach(state.step * config.data.batch_size)
            note = f"epoch {state.epoch}"
            if pace.per_second is not None:
                note += f" {pace.per_second:.0f} windows/s"
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
            on_open=say_store,
            on_fetch=fetched.show_bytes,
        )
    return {"run": str(args.out), **record} if rank_here() == 0 else None
