"""The first stretch of a take, prepared as if it were the whole, and what its stages cost."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipelines.align.clock import TakeClock
from pipelines.config import PrepConfig
from pipelines.datasets.base import DatasetReader
from pipelines.datasets.mirror import file_size
from pipelines.encoders.base import FrozenEncoder
from pipelines.parts.keys import find_file, fingerprinted_bytes
from pipelines.parts.store import PartStore
from pipelines.prepare import TakeOutcome, prepare_take
from pipelines.pricing.survey import count_frames, count_samples
from pipelines.segments.policies import TakePlan, plan_segments
from pipelines.take_parts import source_paths
from schemas.errors import TakeError
from schemas.narration import Narration
from schemas.take import Take
from schemas.time import Interval

__all__ = ["Clip", "PreparedClip", "cut_clip", "prepare_clip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The first stretch of a take."""

    take: Take
    clock: TakeClock
    """Whose span is the stretch."""
    narrations: tuple[Narration, ...]
    """Those in the stretch, cleaned."""
    plan: TakePlan

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.clock.span.duration_ns / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedClip:
    """What preparing a clip cost, by stage."""

    clip: Clip
    outcome: TakeOutcome
    items: Mapping[str, int]
    """Of each stage, in the units it is priced by."""
    seconds: Mapping[str, float]
    """By stage; ``take`` is what no stage accounts for."""
    cpu_s: float
    """Processor seconds of the whole process meanwhile."""
    wall_s: float
    sizes: Mapping[str, int]
    """Bytes of its parts, by kind."""


def cut_clip(
    take: Take,
    *,
    clock: TakeClock,
    narrations: tuple[Narration, ...],
    length_ns: int,
    config: PrepConfig,
) -> Clip:
    """Return the first ``length_ns`` of a take, or all of a shorter one, with a segment in it.

    Where nobody speaks in the stretch, the take's first sentence is moved into its middle: a
    stretch without segments would not be prepared at all.

    Raises:
        TakeError: ``nothing_planned`` if it has no segment all the same.
    """
    span = Interval(clock.span.start_ns, min(clock.span.end_ns, clock.span.start_ns + length_ns))
    middle_ns = (span.start_ns + span.end_ns) // 2
    inside = tuple(n for n in narrations if span.contains(n.narration_ns))
    for said in (inside, tuple(replace(n, narration_ns=middle_ns) for n in narrations[:1])):
        plan = plan_segments(
            take,
            narrations=said,
            span=span,
            clock_uncertainty_ns=clock.uncertainty_ns,
            config=config.segments,
            text=config.text,
        )
        if not plan.rows.is_empty():
            return Clip(take=take, clock=replace(clock, span=span), narrations=said, plan=plan)
    raise TakeError(
        "nothing_planned",
        f"the first {span.duration_ns / 1e9:g} s must hold a segment, none fits [{take.take_name}]",
    )


def prepare_clip(
    clip: Clip,
    *,
    reader: DatasetReader,
    encoder: FrozenEncoder | None,
    parts: PartStore,
    config: PrepConfig,
) -> PreparedClip:
    """Prepare a clip by the code of a run, and tell what its stages took.

    Parts that are there are only checked, as in a run.

    Raises:
        TakeError: as the take's data demands.
    """
    began, cpu_began = time.perf_counter(), time.process_time()
    # What a run does for the take before its stages; the clip has its own of both.
    reader.read_clock(clip.take)
    plan_segments(
        clip.take,
        narrations=clip.narrations,
        span=clip.clock.span,
        clock_uncertainty_ns=clip.clock.uncertainty_ns,
        config=config.segments,
        text=config.text,
    )
    outcome = prepare_take(
        clip.take,
        clock=clip.clock,
        plan=clip.plan,
        narrations=clip.narrations,
        reader=reader,
        encoder=encoder,
        parts=parts,
        config=config,
    )
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    # Stages with a dot run side by side inside another.
    seconds = {stage: work.seconds for stage, work in outcome.work.items()}
    named = sum(spent for stage, spent in seconds.items() if "." not in stage)
    seconds["take"] = max(0.0, wall_s - named)
    paths = {
        kind: path
        for kind, key in outcome.keys.items()
        for path in parts.root.glob(f"{kind}/*/{key}.arrow")
    }
    sizes = {kind: path.stat().st_size for kind, path in paths.items()}
    return PreparedClip(
        clip=clip,
        outcome=outcome,
        items={
            **_items(clip, config=config),
            "check": 0 if outcome.computed else sum(sizes.values()),
        },
        seconds=seconds,
        cpu_s=cpu_s,
        wall_s=wall_s,
        sizes=sizes,
    )


def _items(clip: Clip, *, config: PrepConfig) -> dict[str, int]:
    root, span = config.dataset.root, clip.clock.span
    frames = count_frames(clip.plan, span=span, config=config)
    samples = count_samples(span, config=config)
    sizes = [
        file_size(root, find_file(root, path, follow_links=config.dataset.follow_links))
        for path in source_paths(clip.take)
    ]
    return {
        "take": 1,
        "fingerprint": sum(fingerprinted_bytes(size) for size in sizes),
        "imu": samples,
        "raw_imu": samples,
        "frames": frames,
        "frames.decode": frames,
        "frames.encode": frames,
        "text": len({n.text for n in clip.narrations if n.text}),
        "audit": frames,
        "publish": clip.plan.rows.height,
    }
