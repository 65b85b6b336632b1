"""A price as a table a person reads."""

from pipelines.pricing.price import Price
from pipelines.pricing.rates import Rates

__all__ = ["print_price"]

_SHOWN_TAKES = 10


def print_price(price: Price) -> str:
    """Return the price as a table of stages between some lines."""
    takes, segments, size, time = price.takes, price.segments, price.bytes, price.time
    bad = sum(takes.quarantined.values())
    lines = [
        f"{price.dataset}: {takes.all} takes, {takes.hours:.2f} h with segments; {takes.done} "
        f"done, {takes.to_do} to do, {takes.empty} without segments, {bad} to be quarantined",
        f"segments: {segments.planned} planned, at most {segments.rows} stored"
        + (f", dropped {_listed(segments.dropped)}" if segments.dropped else "")
        + (f", quarantined {segments.quarantined}" if segments.quarantined else ""),
    ]
    lines += [
        f"  {one.take_uid}: {one.reason}: {one.detail}"
        for one in price.quarantined_takes[:_SHOWN_TAKES]
    ]
    if len(price.quarantined_takes) > _SHOWN_TAKES:
        lines.append(f"  and {len(price.quarantined_takes) - _SHOWN_TAKES} more")
    lines += ["", *_stage_table(price), ""]
    lines += [
        f"sources {_size(size.source)}, read at most {_size(size.read)} with fingerprints; write "
        f"{_size(size.parts_to_write)} of parts and a version of {_size(size.version)}; "
        + ("in an object store" if size.free is None else f"{_size(size.free)} free"),
    ]
    if size.free is not None and not size.fits:
        lines.append(
            f"WARNING: {_size(size.parts_to_write + size.version)} to write do not fit into "
            f"{_size(size.free)} [{price.store}]"
        )
    cluster = price.cluster
    gpus = f", {cluster.gpus} GPUs" if cluster.gpus else ""
    where = "here" if cluster.here else "on such a cluster"
    lines += [
        f"time {where} with {cluster.workers} workers on {cluster.cores} cores{gpus}: "
        f"{_duration(time.total_s)} = start {_duration(time.start_s)} + takes "
        f"{_duration(time.takes_s)} + publish {_duration(time.publish_s)}",
        f"bottleneck: {time.bottleneck}: {time.hint}",
        f"rates {_said(price.rates, price.rates_from)}",
    ]
    return "\n".join(lines)


def _stage_table(price: Price) -> list[str]:
    rows = [("stage", "items", "", "to do", "read", "write", "a second", "worker time")]
    rows += [
        (
            stage.stage,
            str(stage.items),
            stage.unit,
            str(stage.to_do),
            _size(stage.bytes_in),
            _size(stage.bytes_out),
            "-" if stage.per_second is None else f"{stage.per_second:.3g}",
            _duration(stage.worker_seconds),
        )
        for stage in price.stages
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = (0, 2)
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _said(rates: Rates, rates_from: str) -> str:
    if rates_from == "given":
        return "as given"
    again = "; --recalibrate measures them anew" if rates_from == "kept" else ""
    return f"{rates_from}, on {rates.takes} takes with {rates.threads} threads a worker{again}"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items())


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _size(count: int) -> str:
    size, unit = float(count), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, bigger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
