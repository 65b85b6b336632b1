"""What each primus-prep command does. Heavy imports wait until a command needs them."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.chatter import send_native_stderr_to
from flows.open_ref import open_ref
from flows.summary import RunSummary
from pipelines.config import PrepConfig, load_config
from schemas.errors import UsageError

__all__ = [
    "Handler",
    "parse_settings",
    "print_summary",
    "quiet_libraries",
    "read_run_config",
    "run_demo",
    "run_inventory",
    "run_make_encoder",
    "run_mask",
    "run_report",
    "run_run",
    "run_synth",
    "tell",
]

Handler = Callable[[argparse.Namespace], int]


def run_synth(args: argparse.Namespace) -> int:
    """Write a synthetic dataset."""
    from flows.progress import Progress
    from pipelines.synthetic.registry import write_synthetic

    with Progress("synth", total=args.takes, unit="takes") as progress:
        write_synthetic(
            args.dataset,
            args.dest,
            takes=args.takes,
            seconds=args.seconds,
            seed=args.seed,
            participants=args.participants,
            full_size=args.full_size,
            faults=[name for name in args.faults.split(",") if name],
            workers=args.workers,
            progress=lambda done, _total: progress.to(done),
        )
    report = {
        "dest": str(args.dest),
        "dataset": args.dataset,
        "takes": args.takes,
        "seconds": args.seconds,
    }
    return tell(args, report, f"{args.takes} takes of {args.seconds:g} s in {args.dest}")


def run_make_encoder(args: argparse.Namespace) -> int:
    """Write an encoder of random weights."""
    from pipelines.encoders.make_encoder import make_encoder

    make_encoder(args.dest, preset=args.preset, seed=args.seed, layout=args.layout)
    report = {
        "dest": str(args.dest),
        "preset": args.preset,
        "layout": args.layout,
        "seed": args.seed,
    }
    text = f"{args.preset} encoder in {args.dest}: random weights, no meaning beyond demonstration"
    return tell(args, report, text)


def run_inventory(args: argparse.Namespace) -> int:
    """List what a dataset folder holds."""
    from flows.progress import Progress
    from pipelines.config import load_config
    from pipelines.datasets.base import read_limited_catalogue
    from pipelines.datasets.inventory import print_inventory, take_inventory
    from pipelines.datasets.registry import open_reader

    given = {
        "dataset.name": args.dataset,
        "dataset.root": str(args.root),
        # Nothing is written; a config must name a place all the same.
        "store.uri": "unused",
    }
    config = load_config(None, overrides={**given, **parse_settings(args.settings)})
    reader = open_reader(config.dataset, imu=config.imu, video=config.video, text=config.text)
    catalogue = read_limited_catalogue(reader, limit=config.dataset.limit)
    with Progress("inventory", total=len(catalogue.takes), unit="takes") as progress:
        inventory = take_inventory(
            catalogue,
            dataset=config.dataset.name,
            root=config.dataset.root,
            follow_links=config.dataset.follow_links,
            read_length=lambda take: reader.read_clock(take).span.duration_ns,
            progress=progress.to,
        )
    return tell(args, inventory.model_dump(mode="json"), print_inventory(inventory))


def run_run(args: argparse.Namespace) -> int:
    """Prepare a dataset and publish a version."""
    config = read_run_config(args)
    quiet_libraries(args, config)
    from flows.prepare import prepare

    summary = prepare(config)
    return tell(args, summary.model_dump(mode="json"), print_summary(summary))


def read_run_config(args: argparse.Namespace) -> PrepConfig:
    """Return the config that the options of ``run``, ``retry`` and ``status`` make up.

    Raises:
        UsageError: if they make up none.
    """
    from flows.presets import PRESETS, read_preset

    given = {
        "dataset.name": args.dataset,
        "dataset.root": args.root,
        "dataset.limit": args.limit,
        "store.uri": args.store,
        "store.tag": args.tag,
        "encoder.name": args.encoder,
        "execution.executor": args.executor,
        "execution.workers": args.workers,
        "execution.dask_address": args.dask_address,
        "execution.dask_report": args.dask_report,
        # A preset's name after --profile is how presets were asked for at first.
        "execution.profile": True if args.profile and args.profile not in PRESETS else None,
    }
    preset = args.preset or (args.profile if args.profile in PRESETS else None)
    overrides = {key: value for key, value in given.items() if value is not None}
    return load_config(
        args.config,
        overrides={**overrides, **parse_settings(args.settings)},
        base=read_preset(preset) if preset else None,
    )


def quiet_libraries(args: argparse.Namespace, config: PrepConfig) -> None:
    """Send what native libraries write to stderr to a file beside the parts, or a temporary one.

    Raises:
        StorageError: if there is no room or no permission.
    """
    from pipelines.storage.faults import storage_faults
    from pipelines.storage.places import is_local

    if not args.quiet:
        return
    place = config.parts_root / "state" / "libraries.log"
    here = place if is_local(place) else Path(tempfile.gettempdir()) / "primus-prep-libraries.log"
    with storage_faults(here):
        send_native_stderr_to(here)


def print_summary(summary: RunSummary) -> str:
    """Return what a run reports, for a person."""
    text = (
        f"version {summary.version} in {summary.store}: {summary.stored} of {summary.planned} "
        f"segments stored, dropped {sum(summary.dropped.values())}, "
        f"quarantined {sum(summary.quarantined.values())}; "
        f"{summary.computed_takes} takes computed, {summary.reused_takes} reused, "
        f"{summary.seconds['total']:.1f} s"
    )
    if summary.profile is not None:
        from pipelines.profile.report import print_profile

        text = f"{print_profile(summary.profile)}\n{text}"
    return text


def run_mask(args: argparse.Namespace) -> int:
    """Add a named mask to a version."""
    from pydantic import ValidationError

    from pipelines.stores.masks import write_mask
    from schemas.mask import MaskSpec

    store, version = open_ref(args.ref)
    try:
        spec = MaskSpec.model_validate(
            {
                "name": args.name,
                "keep": args.keep,
                "modalities": args.modalities.split(","),
                "unit": args.unit,
                "seed": args.seed,
                "exact": args.exact,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"mask {where}: {first['msg']}, got {first['input']!r}") from error
    record = write_mask(store, version, spec=spec)
    text = (
        f"mask {spec.name}: {record.kept_rows} of {record.rows} train rows keep {args.modalities}"
    )
    return tell(args, record.model_dump(mode="json"), text)


def run_report(args: argparse.Namespace) -> int:
    """Write the HTML page of a version."""
    from pipelines.report.html import write_report

    store, version = open_ref(args.ref)
    write_report(store, version=version, parts_root=None, out=args.out, details=args.details)
    return tell(args, {"out": str(args.out), "version": version}, f"report in {args.out}")


def run_demo(args: argparse.Namespace) -> int:
    """Run the whole road on synthetic data."""
    if args.quiet:
        send_native_stderr_to(args.out / "libraries.log")
    from flows.demo import run_demo as demo

    report, text = demo(args.out, takes=args.takes, seconds=args.seconds, seed=args.seed)
    return tell(args, report, text)


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """Return what ``--set KEY=VALUE`` words set, by dotted key.

    Raises:
        UsageError: if a word has no key or no YAML value.
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise UsageError(f"--set takes KEY=VALUE, got {setting!r}")
        try:
            parsed[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(f"--set {key} must have a YAML value, got {value!r}") from error
    return parsed


def tell(args: argparse.Namespace, report: Mapping[str, Any], text: str) -> int:
    """Write the report as JSON where that is asked for, as text elsewhere; return exit code 0."""
    shown = json.dumps(report, ensure_ascii=False) if args.json else text
    sys.stdout.write(f"{shown}\n")
    return 0
