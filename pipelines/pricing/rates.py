"""What a run's stages cost on some machine: straight lines through measured points."""

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FIXED", "ITEM_OF", "Line", "Rates", "Together", "fit_line"]

# What each stage is priced by. "take" is what a take costs beside its stages: its clock and plan;
# "assemble" are the jobs of publishing that workers share, "publish" is the driver's own part.
ITEM_OF: Final[Mapping[str, str]] = {
    "take": "takes",
    "fingerprint": "bytes",
    "check": "bytes",
    "imu": "samples",
    "raw_imu": "samples",
    "frames": "frames",
    "frames.decode": "frames",
    "frames.encode": "frames",
    "text": "sentences",
    "audit": "frames",
    "assemble": "segments",
    "publish": "segments",
}

# Seconds a run costs beside its takes: once; once where parts are made, as libraries load; and a
# worker's for every task.
FIXED: Final = ("start", "warm_up", "task")


class Line(BaseModel):
    """Seconds (or bytes) of one take: ``per_take + per_item * items``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_item: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    per_take: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    def at(self, items: float, *, takes: float = 1.0) -> float:
        """Return what ``items`` of ``takes`` takes cost."""
        return self.per_take * takes + self.per_item * items

    def scaled(self, factor: float) -> "Line":
        """Return a line of ``factor`` times the cost."""
        return Line(per_item=self.per_item * factor, per_take=self.per_take * factor)


class Together(BaseModel):
    """How much longer a worker takes for the same work while others do theirs beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    workers: int = Field(default=1, ge=1, description="measured side by side in one process")
    slowdown: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="of these over one alone; below 1 where others held up that one",
    )

    def at(self, workers: int) -> float:
        """Return the slowdown of ``workers`` workers: it grows by as much with each of them."""
        if workers == self.workers:
            return self.slowdown
        if self.workers == 1 or workers == 1:
            return 1.0
        return 1 + max(0.0, self.slowdown - 1) * (workers - 1) / (self.workers - 1)


class Rates(BaseModel):
    """What stages cost one worker, measured alone, and what a run costs beside them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stages: dict[str, Line] = Field(
        default_factory=dict,
        description="by stage, frames also by picture as frames:VARIANT; seconds of one worker",
    )
    part_bytes: dict[str, Line] = Field(default_factory=dict, description="by kind of part")
    cpu: dict[str, float] = Field(
        default_factory=dict, description="by stage: seconds of processor a second of the stage"
    )
    fixed: dict[str, float] = Field(
        default_factory=dict,
        description="start: seconds of a run whose takes hold nothing; warm_up: seconds more of "
        "the first take that is made; task: seconds of a worker a batch of takes",
    )
    together: Together = Together()
    threads: int = Field(default=1, ge=1, description="threads a worker kept busy")
    device_kind: str = Field(default="cpu", description="where the encoder ran")
    by_hand: tuple[str, ...] = Field(
        default=(), description="given for the worker at hand: not scaled to its cores"
    )
    storage_bytes_s: float | None = Field(
        default=None, gt=0, description="what all workers together can read, if it was given"
    )
    table_bytes: Line = Field(
        default=Line(per_item=150.0, per_take=30_000.0), description="of segments.parquet, by rows"
    )
    takes: int = Field(default=0, ge=0, description="takes they were measured on")
    seconds: float = Field(default=0.0, ge=0, description="that the measuring took")

    def line(self, stage: str, *, variant: str = "") -> Line:
        """Return the line of a stage; of frames that of their own picture, if it was measured.

        Raises:
            KeyError: if there is none.
        """
        own = f"{stage}:{variant}"
        return self.stages[own] if own in self.stages else self.stages[stage]

    @property
    def names(self) -> set[str]:
        """Stages that have a line, for whichever picture, and fixed costs that are known."""
        return {name.partition(":")[0] for name in self.stages} | self.fixed.keys()

    def has(self, stage: str) -> bool:
        """Whether there is a line for a stage."""
        return stage in self.names


def fit_line(points: list[tuple[float, float]]) -> Line:
    """Return the line of ``(items, cost)`` points, that costs what they cost in all.

    Its slope is that between the two ends; neither slope nor constant is below zero. Of one point,
    or several of equal items, the cost is taken to be proportional.
    """
    points = sorted(points)
    items, cost = sum(n for n, _ in points), sum(c for _, c in points)
    if not points or items == 0:
        return Line(per_take=cost / len(points) if points else 0.0)
    (first, low), (last, high) = points[0], points[-1]
    slope = (high - low) / (last - first) if last > first else cost / items
    constant = low - slope * first
    if slope <= 0 or constant < 0:
        return Line(per_item=cost / items)
    line = Line(per_item=slope, per_take=constant)
    return line.scaled(cost / line.at(items, takes=len(points)))
