"""``primus-prep status``: what is done, what is left, what stands in the way."""

import argparse

from flows.commands import read_run_config, tell
from pipelines.state.status import RunStatus

__all__ = ["print_status", "run_status"]

_TIMED_BY = {
    "this_run": "by the takes of this run",
    "last_hour": "by the takes of the last hour",
    "records": "by the takes on record",
}
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def run_status(args: argparse.Namespace) -> int:
    """Tell how far a dataset is under a config."""
    from pipelines.datasets.base import read_limited_catalogue
    from pipelines.datasets.registry import open_reader
    from pipelines.state.status import read_status

    config = read_run_config(args)
    reader = open_reader(config.dataset, imu=config.imu, video=config.video, text=config.text)
    catalogue = read_limited_catalogue(reader, limit=config.dataset.limit)
    status = read_status(config, [take.take_uid for take in catalogue.takes])
    return tell(args, status.model_dump(mode="json"), print_status(status))


def print_status(status: RunStatus) -> str:
    """Return a status for a person to read."""
    takes = status.takes
    lines = [
        f"takes: {takes.done} of {takes.all} done, {takes.left} left, "
        f"{takes.quarantined} quarantined",
        f"segments planned in them: {status.planned_segments}",
    ]
    for kind, size in status.parts.items():
        lines.append(f"parts, {kind}: {size.files} of {_bytes(size.bytes)}")
    for found in status.versions:
        tags = f" ({', '.join(found.tags)})" if found.tags else ""
        lines.append(f"version {found.version}{tags}: {found.stored} segments")
    if not status.versions:
        lines.append("version: none published from this config")
    for count in status.quarantined:
        told = f"{count.meaning}. {count.remedy}." if count.meaning else "See its record."
        lines.append(f"quarantined, {count.reason}: {count.takes} takes. {told}")
    lines.append(_run_line(status))
    lines.append(_eta_line(status))
    return "\n".join(lines)


def _run_line(status: RunStatus) -> str:
    run = status.run
    if run is None:
        return "run: none on record"
    who = f"{run.executor}, {run.workers} workers"
    ago = f"{_duration(run.seen_s_ago)} ago"
    if run.going_on:
        return f"run: at work ({who}), {run.finished_takes} takes so far, seen {ago}"
    how = run.ended or "it gave no more sign of life: it was killed, or its machine is gone"
    return f"run: none at work; the last one ({who}), {ago}: {run.said or how}"


def _eta_line(status: RunStatus) -> str:
    if status.eta_from == "nothing_left":
        return "left: nothing"
    if status.eta_s is None:
        return "left: no take is timed yet; primus-prep plan prices the run"
    workers = "" if status.run is None else f" on {status.run.workers} workers"
    return f"left: about {_duration(status.eta_s)}{workers}, {_TIMED_BY[status.eta_from]}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _bytes(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"
