"""What a run's stages did beside what its machine can do, both measured in the same run."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Probe", "RunProfile", "StageProfile"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Probe(_Closed):
    """One thing alone, as fast as the machine does it, measured for a moment."""

    name: str = Field(description="such as decode, encode, read, sha256, write")
    what: str = Field(description="one sentence's worth of words")
    unit: str = Field(description="of what is counted, such as frames or bytes")
    per_s: float = Field(gt=0, description="units a second and lane")


class StageProfile(_Closed):
    """One stage: what it did, how fast, how near its limit, and how much of the run it filled."""

    stage: str = Field(description="one with a dot is a share of the stage before it")
    unit: str = Field(description="of its items; empty where it has none")
    seconds: float = Field(ge=0, description="at work, over all workers")
    items: int = Field(ge=0)
    bytes_in: int = Field(ge=0, description="read")
    bytes_out: int = Field(ge=0, description="written")
    items_per_s: float | None = Field(description="a worker and second at work")
    bytes_per_s: float | None = Field(description="the same, read and written")
    limit: str | None = Field(description="what it is held against; None where nothing was")
    limit_unit: str | None = Field(description="what the limit counts: items, read or written")
    limit_per_s: float | None = Field(description="the limit, a worker and second")
    of_limit: float | None = Field(description="share of the limit achieved")
    fill: float = Field(
        ge=0, description="share of the run's time that it fills, its workers side by side"
    )


class RunProfile(_Closed):
    """How near a run came to its machine."""

    wall_seconds: float = Field(ge=0, description="of the run, the probes left out")
    workers: int = Field(ge=1)
    threads: int = Field(ge=1, description="a worker may keep busy")
    probe_seconds: float = Field(ge=0, description="spent on measuring limits, after the run")
    probes: tuple[Probe, ...]
    stages: tuple[StageProfile, ...]
    bottleneck: str = Field(description="stage that fills most of the run's time")
    sentence: str = Field(description="the same for a person")
