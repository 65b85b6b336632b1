"""Resampling of a whole take."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.config.closed import Closed
from schemas.time import parse_rate

__all__ = ["ImuConfig"]


class ImuConfig(Closed):
    """Resampling of a whole take."""

    stream: str = Field(default="imu-right", description="IMU stream, by its label")
    rate_hz: str = Field(default="50", description="grid rate, a number or a fraction")
    cutoff_hz: float = Field(default=20.0, gt=0, description="anti-alias filter's -6 dB point, Hz")
    max_gap_ms: int = Field(default=100, gt=0, description="longer recording gaps are not bridged")
    block_s: int = Field(
        default=60, gt=0, description="resampled at a time, seconds; changes no value"
    )
    accept_sensor_frame: bool = Field(
        default=False, description="keep uncalibrated takes, all of them in the sensor's own frame"
    )
    alignment: Literal["clock", "first_sample"] = Field(
        default="clock",
        description="clock: by the dataset's own clocks; first_sample: the first valid sample is "
        "taken for the first frame, as the published code does",
    )
    resampling: Literal["take", "window"] = Field(
        default="take",
        description="take: once for the whole take; window: each window by itself, by the "
        "published code's sinc kernel and padding",
    )

    @field_validator("rate_hz", mode="before")
    @classmethod
    def _rate_divides_a_second(cls, value: str | float) -> str:
        rate = parse_rate(value)
        if (1_000_000_000 * rate.denominator) % rate.numerator:
            raise ValueError(f"rate_hz must give a whole number of nanoseconds a step, got {value}")
        return str(rate)

    @model_validator(mode="after")
    def _windows_are_resampled_to_whole_hz(self) -> Self:
        if self.resampling == "window" and parse_rate(self.rate_hz).denominator != 1:
            raise ValueError(f"resampling window needs a rate_hz of whole Hz, got {self.rate_hz}")
        return self

    @property
    def step_ns(self) -> int:
        """Grid step in nanoseconds."""
        rate = parse_rate(self.rate_hz)
        return 1_000_000_000 * rate.denominator // rate.numerator
