"""Which stretches of a take become segments."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.config.closed import Closed
from schemas.time import NS_PER_MS

__all__ = ["SegmentsConfig"]


class SegmentsConfig(Closed):
    """Which stretches of a take become segments."""

    policy: Literal["narration", "stride", "published"] = Field(
        default="narration",
        description="centred on narrations, at a fixed stride, or the published window rule",
    )
    length_ms: int = Field(default=5000, gt=0, description="length of a segment")
    step_ms: int = Field(default=20, gt=0, description="starts are multiples of this")
    stride_ms: int = Field(default=5000, gt=0, description="distance of starts under stride")
    duplicates: Literal["keep", "drop"] = Field(
        default="keep", description="rows of one take with equal window, source and sentence"
    )
    require: tuple[Literal["imu", "video", "text"], ...] | None = Field(
        default=None,
        description="modalities without which a segment is dropped; default all three, "
        "imu and video under stride",
    )

    @model_validator(mode="after")
    def _starts_are_multiples_of_the_step(self) -> Self:
        if self.policy == "stride" and self.stride_ms % self.step_ms:
            raise ValueError(
                f"stride_ms must be a multiple of step_ms={self.step_ms}, got {self.stride_ms}"
            )
        if self.policy == "published" and (self.length_ms % 1000 or 1000 % self.step_ms):
            raise ValueError(
                "policy published needs a length_ms of whole seconds and a step_ms that divides "
                f"one, got {self.length_ms} and {self.step_ms}"
            )
        return self

    @property
    def length_ns(self) -> int:
        """Length of a segment in nanoseconds."""
        return self.length_ms * NS_PER_MS

    @property
    def step_ns(self) -> int:
        """Step of the starts in nanoseconds."""
        return self.step_ms * NS_PER_MS

    @property
    def stride_ns(self) -> int:
        """Stride in nanoseconds."""
        return self.stride_ms * NS_PER_MS

    @property
    def required(self) -> tuple[str, ...]:
        """Modalities a stored segment must have."""
        if self.require is not None:
            return self.require
        return ("imu", "video") if self.policy == "stride" else ("imu", "video", "text")
