"""What each primus-prep command does. Heavy imports wait until a command needs them."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.chatter import send_native_stderr_to
from schemas.errors import StoreDamagedError, StoreNotFoundError, UsageError
from schemas.store import parse_store_ref

__all__ = [
    "Handler",
    "parse_settings",
    "run_demo",
    "run_inventory",
    "run_make_encoder",
    "run_mask",
    "run_report",
    "run_run",
    "run_store_ls",
    "run_store_show",
    "run_store_table1",
    "run_store_tag",
    "run_store_verify",
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
            read_length=lambda take: reader.read_clock(take).span.duration_ns,
            progress=progress.to,
        )
    return tell(args, inventory.model_dump(mode="json"), print_inventory(inventory))


def run_run(args: argparse.Namespace) -> int:
    """Prepare a dataset and publish a version."""
    from flows.presets import PRESETS, read_preset
    from pipelines.config import load_config

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
    config = load_config(
        args.config,
        overrides={**overrides, **parse_settings(args.settings)},
        base=read_preset(preset) if preset else None,
    )

    if args.quiet:
        send_native_stderr_to(config.parts_root / "state" / "libraries.log")
    from flows.prepare import prepare

    summary = prepare(config)
    report = summary.model_dump(mode="json")
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
    return tell(args, report, text)


def run_store_table1(args: argparse.Namespace) -> int:
    """Print what stores hold beside the paper's Table I."""
    from pipelines.stores.table_one import make_table_one, print_table_one

    versions = [_resolve(ref) for ref in args.refs]
    rows = make_table_one([(store, version) for store, version in versions])
    report = {
        "stores": [f"{store}@{version}" for store, version in versions],
        "rows": [row.model_dump(mode="json") for row in rows],
    }
    return tell(args, report, print_table_one(rows))


def run_store_ls(args: argparse.Namespace) -> int:
    """List versions and tags."""
    from pipelines.stores.refs import list_tags, list_versions

    store = _store_folder(args.ref)
    tags = list_tags(store)
    versions = [
        {"version": v, "tags": sorted(t for t, at in tags.items() if at == v)}
        for v in list_versions(store)
    ]
    shown = "\n".join(f"{v['version']}  {' '.join(v['tags'])}" for v in versions)
    return tell(args, {"store": str(store), "versions": versions}, shown or "no versions")


def run_store_show(args: argparse.Namespace) -> int:
    """Show a version's manifest in short."""
    from pipelines.stores.verify import read_manifest

    store, version = _resolve(args.ref)
    manifest = read_manifest(store, version)
    counts = manifest.counts
    report = {
        "store": str(store),
        "version": version,
        "dataset": manifest.dataset,
        "encoder": manifest.encoder.model_dump(mode="json") if manifest.encoder else None,
        "imu": manifest.imu.model_dump(mode="json"),
        "counts": counts.model_dump(mode="json"),
        "bytes": sum(entry.size for entry in manifest.objects),
        "sources": len(manifest.sources),
        "config": manifest.config,
    }
    return tell(args, report, _lines(report))


def run_store_verify(args: argparse.Namespace) -> int:
    """Check a version; exit code 1 names what is damaged."""
    from flows.progress import stage_progress
    from pipelines.stores.verify import verify_version

    store, version = _resolve(args.ref)
    with stage_progress({"digests": "bytes", "rows": "segments"}) as progress:
        problems = verify_version(store, version, progress=progress)
    report = {
        "store": str(store),
        "version": version,
        "ok": not problems,
        "problems": [{"object": p.loc, "message": p.message, "kind": p.kind} for p in problems],
    }
    if problems and not args.json:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        listed = "\n".join(f"  {p.loc}: {p.message}" for p in problems)
        raise StoreDamagedError(f"{store}@{version} is damaged{more}:\n{listed}")
    tell(args, report, f"{store}@{version} is whole")
    return 1 if problems else 0


def run_store_tag(args: argparse.Namespace) -> int:
    """Point a tag at a version."""
    from pipelines.stores.refs import write_tag

    store, version = _resolve(args.ref)
    write_tag(store, args.tag, version=version)
    report = {"store": str(store), "tag": args.tag, "version": version}
    return tell(args, report, f"{args.tag} -> {version}")


def run_mask(args: argparse.Namespace) -> int:
    """Add a named mask to a version."""
    from pydantic import ValidationError

    from pipelines.stores.masks import write_mask
    from schemas.mask import MaskSpec

    store, version = _resolve(args.ref)
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

    store, version = _resolve(args.ref)
    write_report(store, version=version, parts_root=None, out=args.out, details=args.details)
    return tell(args, {"out": str(args.out), "version": version}, f"report in {args.out}")


def run_demo(args: argparse.Namespace) -> int:
    """Run the whole road on synthetic data."""
    if args.quiet:
        send_native_stderr_to(args.out / "libraries.log")
    from flows.demo import run_demo as demo

    report, text = demo(args.out, takes=args.takes, seconds=args.seconds, seed=args.seed)
    return tell(args, report, text)


def _resolve(text: str) -> tuple[Path, str]:
    from pipelines.stores.refs import read_ref

    ref = parse_store_ref(text)
    store = _store_folder(ref.uri)
    return store, read_ref(store, ref.ref)


def _store_folder(uri: str) -> Path:
    store = Path(uri)
    if not store.is_dir():
        raise StoreNotFoundError(f"store must be an existing folder, got {uri}")
    return store


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


def _lines(report: Mapping[str, Any], *, indent: str = "") -> str:
    lines: list[str] = []
    for key, value in report.items():
        if isinstance(value, Mapping):
            lines.append(f"{indent}{key}:")
            lines.append(_lines(value, indent=f"{indent}  "))
        else:
            lines.append(f"{indent}{key}: {value}")
    return "\n".join(line for line in lines if line)
