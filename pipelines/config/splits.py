"""Which takes are train, val and test."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator

from pipelines.config.closed import Closed

__all__ = ["SplitConfig"]


class SplitConfig(Closed):
    """Which takes are train, val and test."""

    kind: Literal["participant", "official", "custom"] = Field(
        default="participant", description="by participant, the dataset's own, or a given list"
    )
    shares: tuple[float, float, float] = Field(
        default=(0.6, 0.2, 0.2), description="train, val, test shares of participants"
    )
    seed: int = Field(default=0, description="of the participants' order")
    test_participants: tuple[str, ...] = Field(
        default=(),
        description="participant: these are test, by their id in the dataset; the others are "
        "shared out between train and val",
    )
    takes: Mapping[str, Literal["train", "val", "test"]] = Field(
        default_factory=dict, description="custom: take_uid or take_name to split"
    )

    @field_validator("test_participants", mode="before")
    @classmethod
    def _ids_may_be_written_as_numbers(cls, value: object) -> object:
        # YAML reads 5 as a number, and a shell takes the quotes off "5".
        if isinstance(value, list | tuple):
            return [str(v) if type(v) is int else v for v in value]
        return value

    @field_validator("shares")
    @classmethod
    def _shares_sum_to_one(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(value) < 0 or abs(sum(value) - 1) > 1e-6:
            raise ValueError(f"shares must be three shares that sum to 1, got {value}")
        return value
