"""The ``store`` commands: look at a store, check it, compare, mend and tidy it."""

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from flows.commands import Handler, tell
from flows.open_ref import open_ref, open_store
from schemas.errors import StoreDamagedError, UsageError
from schemas.store import is_version_id, parse_store_ref

__all__ = ["STORE_EXAMPLES", "add_store_parser"]

# Heavy imports wait until a command needs them.

Finish = Callable[[argparse.ArgumentParser, Handler], None]
"""Gives a command what all commands have, and what it does."""

STORE_EXAMPLES: Final = (
    "ls store",
    "show store@latest --lineage",
    "verify s3://bucket/store@latest",
    "diff store@0123456789abcdef store@latest --json",
    "repair store@latest --dry-run",
    "gc store --dry-run",
    "tag store@0123456789abcdef paper",
    "card store@latest --out README.md",
    "table1 egoexo4d-store ego4d-store@latest realworld-store",
)


def add_store_parser(parser: argparse.ArgumentParser, *, finish: Finish) -> None:
    """Add the actions of ``store`` to its parser.

    Args:
        parser: of ``store``.
        finish: gives a command what all commands have, and what it does.
    """
    parser.set_defaults(handler=None)
    add = _Adder(parser)
    _finish_ref(add("ls", "versions and tags of a store"), _run_ls, finish, "URI")
    show = add("show", "what a version holds")
    show.add_argument("--lineage", action="store_true", help="what it was made from, and by what")
    _finish_ref(show, _run_show, finish)
    verify = add("verify", "check every byte and count of a version; exit code 1 if it is damaged")
    _finish_ref(verify, _run_verify, finish)
    _add_diff(add, finish)
    _add_repair(add, finish)
    _add_gc(add, finish)
    tag = add("tag", "point a tag at a version")
    tag.add_argument("ref", metavar="URI[@REF]")
    tag.add_argument("tag", metavar="TAG")
    finish(tag, _run_tag)
    card = add("card", "write the dataset card of a version, as Markdown")
    card.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    _finish_ref(card, _run_card, finish)
    table1 = add("table1", "segments, hours, people and classes, beside the paper's Table I")
    table1.add_argument("refs", nargs="+", metavar="URI[@REF]")
    finish(table1, _run_table1)


def _add_diff(add: "_Adder", finish: Finish) -> None:
    diff = add(
        "diff",
        "what B has otherwise than A: settings, takes, segments and values; exit code 0 whether "
        'they are equal or not, --json says "equal"',
    )
    diff.add_argument("a", metavar="A", help="URI[@REF] of the one compared with")
    diff.add_argument("b", metavar="B", help="URI[@REF], of the same store or another")
    finish(diff, _run_diff)


def _add_repair(add: "_Adder", finish: Finish) -> None:
    repair = add(
        "repair",
        "make the bad objects of a version again from its parts, and its masks from their recipes, "
        "each proven by its digest; exit code 1 if something stays bad",
    )
    repair.add_argument("--parts", metavar="URI", help="default: where the run record says")
    repair.add_argument("--dry-run", action="store_true", help="make and prove, replace nothing")
    _finish_ref(repair, _run_repair, finish)


def _add_gc(add: "_Adder", finish: Finish) -> None:
    gc = add(
        "gc", "remove what killed runs left behind; never a version with a manifest, unless named"
    )
    gc.add_argument("--dry-run", action="store_true", help="list, and remove nothing")
    gc.add_argument(
        "--grace",
        type=float,
        default=24.0,
        metavar="HOURS",
        help="what is younger stays; default 24",
    )
    gc.add_argument(
        "--parts",
        action="store_true",
        help="also parts in the store that none of its versions was made from; not where other "
        "stores or a run under way use them",
    )
    gc.add_argument(
        "--version", metavar="ID", help="remove this version alone; it must have no tag"
    )
    _finish_ref(gc, _run_gc, finish, "URI")


class _Adder:
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self._actions = parser.add_subparsers(metavar="ACTION", required=True)

    def __call__(self, name: str, what: str) -> argparse.ArgumentParser:
        return self._actions.add_parser(
            name, help=what, description=f"{what[0].upper()}{what[1:]}."
        )


def _finish_ref(
    parser: argparse.ArgumentParser, handler: Handler, finish: Finish, form: str = "URI[@REF]"
) -> None:
    parser.add_argument("ref", metavar=form)
    finish(parser, handler)


def _run_ls(args: argparse.Namespace) -> int:
    from pipelines.stores.refs import list_tags, list_versions

    store = open_store(args.ref)
    tags = list_tags(store)
    versions = [
        {"version": v, "tags": sorted(t for t, at in tags.items() if at == v)}
        for v in list_versions(store)
    ]
    shown = "\n".join(f"{v['version']}  {' '.join(v['tags'])}" for v in versions)
    return tell(args, {"store": str(store), "versions": versions}, shown or "no versions")


def _run_show(args: argparse.Namespace) -> int:
    from pipelines.stores.sealed import read_manifest

    store, version = open_ref(args.ref)
    if args.lineage:
        from pipelines.stores.lineage import print_lineage, read_lineage

        lineage = read_lineage(store, version)
        return tell(args, lineage.model_dump(mode="json"), print_lineage(lineage))
    manifest = read_manifest(store, version)
    report = {
        "store": str(store),
        "version": version,
        "dataset": manifest.dataset,
        "encoder": manifest.encoder.model_dump(mode="json") if manifest.encoder else None,
        "imu": manifest.imu.model_dump(mode="json"),
        "counts": manifest.counts.model_dump(mode="json"),
        "bytes": sum(entry.size for entry in manifest.objects),
        "sources": len(manifest.sources),
        "config": manifest.config,
    }
    return tell(args, report, _lines(report))


def _run_verify(args: argparse.Namespace) -> int:
    from flows.progress import stage_progress
    from pipelines.stores.verify import verify_version

    store, version = open_ref(args.ref)
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


def _run_diff(args: argparse.Namespace) -> int:
    from pipelines.stores.diff import diff_versions, print_diff

    diff = diff_versions(open_ref(args.a), open_ref(args.b))
    return tell(args, diff.model_dump(mode="json"), print_diff(diff))


def _run_repair(args: argparse.Namespace) -> int:
    from flows.progress import stage_progress
    from pipelines.storage.places import open_place
    from pipelines.stores.repair import repair_version

    ref = parse_store_ref(args.ref)
    # One that has lost its manifest can still be named by its id.
    if ref.ref is not None and is_version_id(ref.ref):
        store, version = open_store(ref.uri), ref.ref
    else:
        store, version = open_ref(args.ref)
    with stage_progress({"repair": "objects"}) as progress:
        report = repair_version(
            store,
            version,
            parts_root=open_place(args.parts) if args.parts is not None else None,
            dry_run=args.dry_run,
            progress=partial(progress, "repair"),
        )
    would = "would be " if args.dry_run else ""
    lines = [f"{one.object}: {would}{one.how}" for one in report.healed]
    lines += [f"{one.object}: stays bad: {one.why}; {one.remedy}" for one in report.unhealed]
    tell(
        args,
        report.model_dump(mode="json"),
        "\n".join(lines) or f"{store}@{version} has no bad object",
    )
    return 1 if report.unhealed else 0


def _run_gc(args: argparse.Namespace) -> int:
    from pipelines.stores.gc import collect_garbage, remove_version

    store = open_store(args.ref)
    if args.grace < 0:
        raise UsageError(f"--grace must be at least 0 hours, got {args.grace:g}")
    now_s = time.time()
    if args.version is not None:
        report = remove_version(store, args.version, now_s=now_s, dry_run=args.dry_run)
    else:
        report = collect_garbage(
            store,
            now_s=now_s,
            grace_s=args.grace * 3600,
            parts=args.parts,
            dry_run=args.dry_run,
        )
    lines = [f"{one.path}  {one.kind}  {one.files} files  {one.bytes} B" for one in report.removed]
    lines += [f"{one.path}  kept: {one.why}" for one in report.kept]
    verb = "would remove" if args.dry_run else "removed"
    lines.append(f"{verb} {len(report.removed)} things, {report.bytes} B")
    return tell(args, report.model_dump(mode="json"), "\n".join(lines))


def _run_tag(args: argparse.Namespace) -> int:
    from pipelines.stores.refs import write_tag

    store, version = open_ref(args.ref)
    write_tag(store, args.tag, version=version)
    report = {"store": str(store), "tag": args.tag, "version": version}
    return tell(args, report, f"{args.tag} -> {version}")


def _run_card(args: argparse.Namespace) -> int:
    from pipelines.storage.files import write_atomic
    from pipelines.stores.card import make_card

    store, version = open_ref(args.ref)
    card = make_card(store, version)
    if args.out is None:
        return tell(args, {"version": version, "card": card}, card.removesuffix("\n"))
    write_atomic(args.out, card.encode())
    return tell(args, {"version": version, "out": str(args.out)}, f"card in {args.out}")


def _run_table1(args: argparse.Namespace) -> int:
    from pipelines.stores.table_one import make_table_one, print_table_one

    versions = [open_ref(ref) for ref in args.refs]
    rows = make_table_one(versions)
    report = {
        "stores": [f"{store}@{version}" for store, version in versions],
        "rows": [row.model_dump(mode="json") for row in rows],
    }
    return tell(args, report, print_table_one(rows))


def _lines(report: Mapping[str, Any], *, indent: str = "") -> str:
    lines: list[str] = []
    for key, value in report.items():
        if isinstance(value, Mapping):
            lines.append(f"{indent}{key}:")
            lines.append(_lines(value, indent=f"{indent}  "))
        else:
            lines.append(f"{indent}{key}: {value}")
    return "\n".join(line for line in lines if line)
