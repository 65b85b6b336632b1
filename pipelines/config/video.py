"""Which frames are used and how they are decoded."""

from typing import Literal

from pydantic import Field, field_validator

from pipelines.config.closed import Closed
from schemas.time import NS_PER_MS

__all__ = ["VideoConfig"]


class VideoConfig(Closed):
    """Which frames are used and how they are decoded."""

    variant: Literal["auto", "448", "540ss", "full"] = Field(
        default="auto",
        description="copy of the picture; auto takes the small one where it exists: 448 for "
        "egoexo4d, 540ss for ego4d",
    )
    step_ms: int = Field(default=100, gt=0, description="frame grid step")
    tolerance_ms: int = Field(
        default=21,
        gt=0,
        description="furthest frame from its grid time; 21 is half a frame of 24 fps",
    )
    decoder: Literal["auto", "decord", "pyav"] = Field(
        default="auto",
        description="auto: PyAV, which is faster; decord only where it is asked for",
    )
    hardware: Literal["auto", "none"] = Field(
        default="auto", description="auto: the GPU decodes where there is one that can"
    )
    coverage: Literal["all", "needed"] = Field(
        default="all",
        description="all: every grid frame of a take; needed: only those that segments use, which "
        "have to be decoded again when windows change",
    )

    @field_validator("variant", mode="before")
    @classmethod
    def _may_be_written_as_a_number(cls, value: object) -> object:
        # YAML reads 448 as a number.
        return str(value) if type(value) is int else value

    @property
    def step_ns(self) -> int:
        """Grid step in nanoseconds."""
        return self.step_ms * NS_PER_MS

    @property
    def tolerance_ns(self) -> int:
        """Furthest accepted match in nanoseconds."""
        return self.tolerance_ms * NS_PER_MS
