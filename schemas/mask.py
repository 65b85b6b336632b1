"""A mask: which rows of a version show video or text to the trainer; it changes no version."""

from typing import Final, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas.store import parse_tag

__all__ = ["MASK_SCHEMA", "MaskRecord", "MaskSpec"]

MASK_SCHEMA: Final = pa.schema(
    [
        pa.field("segment_id", pa.string(), nullable=False),
        pa.field("keep_imu", pa.bool_(), nullable=False),
        pa.field("keep_video", pa.bool_(), nullable=False),
        pa.field("keep_text", pa.bool_(), nullable=False),
    ]
)


class MaskSpec(BaseModel):
    """How a mask is drawn; masks of one seed and unit are nested in ``keep``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="same form as a tag")
    keep: float = Field(ge=0, le=1, description="share of units that keep their modalities")
    modalities: tuple[Literal["video", "text"], ...] = Field(
        default=("video", "text"), min_length=1, description="hidden together; imu never"
    )
    unit: Literal["segment", "take", "participant"] = "segment"
    seed: int = 0
    exact: bool = Field(
        default=False, description="the k smallest hashes of each label instead of a threshold"
    )

    @field_validator("name")
    @classmethod
    def _name_is_a_tag(cls, value: str) -> str:
        return parse_tag(value)


class MaskRecord(BaseModel):
    """What lies beside a mask's table: its recipe, what it is bound to, and its counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    spec: MaskSpec
    units: int = Field(description="units in the train split")
    kept_units: int
    rows: int = Field(description="rows of the train split")
    kept_rows: int
    sha256: str = Field(description="of the mask's Parquet file, hex")
