"""Put each stage beside its limit, and name the one that fills most of a run."""

from collections.abc import Mapping, Sequence
from typing import Final

from pipelines.profile.work import ITEMS, StageWork
from schemas.profile import Probe, RunProfile, StageProfile

__all__ = ["DRIVER_STAGES", "PUBLISH_STAGES", "make_profile", "print_profile"]

# Stages that the driver works through alone.
DRIVER_STAGES: Final = ("catalogue", "start", "seal", "other")
# Stages of a version; they run side by side only where the executor runs publish jobs so.
PUBLISH_STAGES: Final = ("assemble", "arrays")

# What each stage must at least do: probes by name, and what of the stage they count.
_LIMITS: Final[Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "fingerprint": ("reading and SHA-256 alone", ("read", "sha256"), ("read",)),
    "check": ("reading and SHA-256 alone", ("read", "sha256"), ("read",)),
    "imu": ("reading the bytes alone", ("read",), ("read",)),
    "raw_imu": ("reading the bytes alone", ("read",), ("read",)),
    "frames": ("decoding and the encoder, each alone", ("decode", "encode_all"), ("items",)),
    "frames.decode": ("decoding alone", ("decode",), ("items",)),
    "frames.encode": ("the encoder alone", ("encode",), ("items",)),
    "text": ("the encoder alone", ("encode_text",), ("items",)),
    "assemble": ("reading the bytes alone", ("read",), ("read",)),
    "arrays": ("writing to disk alone", ("write",), ("written",)),
    "seal": ("SHA-256 alone", ("sha256",), ("read", "written")),
}
_ADVICE: Final[Mapping[str, str]] = {
    "frames.encode": "a GPU, bfloat16 or more workers would help",
    "frames.decode": "more workers, a GPU that decodes or a smaller copy of the video would help",
    "frames.motion": "more workers or audit.enabled=false would help",
    "frames": "more workers would help",
    "imu": "more workers would help",
    "raw_imu": "more workers would help",
    "text": "a GPU, bfloat16 or more workers would help",
    "fingerprint": "faster disks or more workers would help",
    "check": "faster disks or more workers would help",
    "audit": "more workers would help",
    "assemble": "more workers would help",
    "arrays": "faster disks or more workers would help",
    "seal": "faster disks would help",
    "catalogue": "more takes in a run would make it matter less",
    "start": "more takes in a run, or executor=inline for a few, would make it matter less",
    "other": "waiting for workers whose takes are done: more and smaller batches may help",
}


def make_profile(
    work: Mapping[str, StageWork],
    *,
    probes: Sequence[Probe],
    wall_seconds: float,
    workers: int,
    threads: int,
    publish_workers: int,
    probe_seconds: float = 0.0,
) -> RunProfile:
    """Return how fast each stage was, how near its limit, and what filled the run.

    A stage's speed is that of one worker while it is at work; its limit is what one worker could
    do at the same time: probes that must both be gone through one after the other add up as
    ``1 / (1/a + 1/b)``. ``fill`` is busy seconds over workers side by side over the run's seconds;
    what no stage fills is the stage ``other``.

    Args:
        work: stage: what it did, over all workers.
        probes: limits measured; a stage whose probes are not all there has none.
        wall_seconds: of the run.
        workers: side by side over the takes.
        threads: a worker may keep busy.
        publish_workers: side by side over publish jobs.
        probe_seconds: spent on the probes.

    Raises:
        ValueError: if ``wall_seconds`` is not positive.
    """
    if wall_seconds <= 0:
        raise ValueError(f"wall_seconds must be positive, got {wall_seconds}")
    lanes = {
        **dict.fromkeys(DRIVER_STAGES, 1),
        **dict.fromkeys(PUBLISH_STAGES, publish_workers),
    }
    rates = {probe.name: probe.per_s for probe in probes}
    if "encode" in rates:
        rates["encode_all"] = rates["encode"] * threads
    whole = {stage for stage in work if "." not in stage}
    filled = {
        stage: work[stage].seconds / lanes.get(stage, workers) / wall_seconds for stage in whole
    }
    rest = max(0.0, 1 - sum(filled.values()))
    everything = {
        **{stage: work[stage] for stage in _ordered(work)},
        "other": StageWork(seconds=rest * wall_seconds),
    }
    stages = tuple(
        _profile_stage(
            stage, done, rates=rates, lanes=lanes.get(stage, workers), wall_seconds=wall_seconds
        )
        for stage, done in everything.items()
    )
    bottleneck, sentence = _name_bottleneck(stages)
    return RunProfile(
        wall_seconds=wall_seconds,
        workers=workers,
        threads=threads,
        probe_seconds=probe_seconds,
        probes=tuple(probes),
        stages=stages,
        bottleneck=bottleneck,
        sentence=sentence,
    )


def print_profile(profile: RunProfile) -> str:
    """Return a table of the stages and the sentence that names the bottleneck."""
    head = ("stage", "busy s", "fill", "items/s", "MB/s", "limit", "of limit", "held against")
    rows = [head, *(_row(stage) for stage in profile.stages)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = [
        "  ".join(
            text.ljust(width) if k in (0, len(head) - 1) else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, profile.sentence])


def _ordered(work: Mapping[str, StageWork]) -> list[str]:
    order = ["catalogue", "start", *(stage for stage in ITEMS if stage != "catalogue")]
    return [stage for stage in order if stage in work]


def _profile_stage(
    stage: str,
    done: StageWork,
    *,
    rates: Mapping[str, float],
    lanes: int,
    wall_seconds: float,
) -> StageProfile:
    speed = 1 / done.seconds if done.seconds > 0 else 0.0
    moved = done.bytes_in + done.bytes_out
    amounts = {"items": done.items, "read": done.bytes_in, "written": done.bytes_out}
    limit, limit_unit, limit_per_s, of_limit = None, None, None, None
    if stage in _LIMITS:
        what, probes, units = _LIMITS[stage]
        counted = next((unit for unit in units if amounts[unit]), None)
        if counted is not None and speed and all(name in rates for name in probes):
            limit, limit_unit = what, counted
            limit_per_s = 1 / sum(1 / rates[name] for name in probes)
            of_limit = amounts[counted] * speed / limit_per_s
    return StageProfile(
        stage=stage,
        unit=ITEMS.get(stage, ""),
        seconds=done.seconds,
        items=done.items,
        bytes_in=done.bytes_in,
        bytes_out=done.bytes_out,
        items_per_s=done.items * speed if done.items and speed else None,
        bytes_per_s=moved * speed if moved and speed else None,
        limit=limit,
        limit_unit=limit_unit,
        limit_per_s=limit_per_s,
        of_limit=of_limit,
        fill=done.seconds / lanes / wall_seconds,
    )


def _name_bottleneck(stages: Sequence[StageProfile]) -> tuple[str, str]:
    whole = max((s for s in stages if "." not in s.stage), key=lambda s: s.fill)
    parts = [s for s in stages if s.stage.startswith(f"{whole.stage}.")]
    inner = max(parts, key=lambda s: s.seconds, default=None)
    named = whole if inner is None or not inner.seconds else inner
    sentence = f"{whole.stage} fills {whole.fill:.0%} of the run's time"
    if named is not whole:
        share = named.seconds / sum(s.seconds for s in parts)
        sentence += f", {share:.0%} of its work is {named.stage}"
    if named.of_limit is not None:
        sentence += f", at {named.of_limit:.0%} of the speed of {named.limit}"
    return named.stage, f"{sentence}: {_ADVICE[named.stage]}"


def _row(stage: StageProfile) -> tuple[str, ...]:
    shown = ""
    if stage.limit_per_s is not None:
        items = stage.limit_unit == "items"
        shown = _number(stage.limit_per_s) if items else f"{_megabytes(stage.limit_per_s)} MB/s"
    items_per_s = f"{_number(stage.items_per_s)} {stage.unit}" if stage.items_per_s else ""
    return (
        stage.stage,
        f"{stage.seconds:.2f}",
        f"{stage.fill:.1%}",
        items_per_s,
        _megabytes(stage.bytes_per_s) if stage.bytes_per_s else "",
        shown,
        f"{stage.of_limit:.0%}" if stage.of_limit is not None else "",
        stage.limit or "",
    )


def _megabytes(per_s: float) -> str:
    return _number(per_s / 1e6)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
