"""What a frozen encoder is, and the Arrow schemas of the parts it fills."""

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["EmbeddingSpec", "frames_part_schema", "text_part_schema"]


class EmbeddingSpec(BaseModel):
    """Identity of a frozen video-and-text encoder: equal specs give equal embeddings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        description="model name, or the folder's own name for a local folder; never a path"
    )
    revision: str | None = Field(
        description="resolved revision on the hub; None for a local folder"
    )
    weights_sha256: str = Field(description="SHA-256 over the weight and tokenizer files, hex")
    meaning: str | None = Field(
        default=None, description="a warning when the weights carry no meaning (random weights)"
    )
    video_dim: int = Field(gt=0, description="length of a frame embedding")
    text_dim: int = Field(gt=0, description="length of a sentence embedding")
    image_size: int = Field(
        gt=0, description="side of the square picture the encoder takes, pixels"
    )
    max_tokens: int = Field(gt=0, description="longest sentence the encoder takes, tokens")
    batch_size: int = Field(
        gt=0, description="rows of every encoder call; short calls are zero-padded"
    )
    device_kind: str = Field(description="cpu or cuda")
    precision: str = Field(description="float32 or bfloat16")
    pooling: str = Field(
        default="mean", description="frame embeddings to a segment's: mean or seqTransf"
    )
    pooling_sha256: str | None = Field(
        default=None, description="SHA-256 of seqTransf's weights, hex; None under mean"
    )


def frames_part_schema(dim: int) -> pa.Schema:
    """Return the schema of a frames part whose embeddings have ``dim`` values."""
    return pa.schema(
        [
            pa.field("t_ns", pa.int64(), nullable=False),  # grid time on the take clock
            pa.field("pts_ns", pa.int64(), nullable=False),  # of the frame really used, take clock
            pa.field("frame_index", pa.int64(), nullable=False),  # its place in the file, 0 = first
            pa.field(
                "embedding", pa.list_(pa.float16(), dim), nullable=False
            ),  # raw, not normalised
            # Picture shift since the previous grid frame, as a share of the picture's width and
            # height (right and down positive); null for the first frame.
            pa.field("motion_dx", pa.float32()),
            pa.field("motion_dy", pa.float32()),
            # Height of the phase-correlation peak, 0 to 1: how far the shift can be trusted.
            pa.field("motion_peak", pa.float32()),
            pa.field("decoder", pa.string(), nullable=False),  # pyav, pyav-cuda or decord
            pa.field("jpeg", pa.binary()),  # 96-px thumbnail, once a second
        ]
    )


def text_part_schema(dim: int) -> pa.Schema:
    """Return the schema of a text part whose embeddings have ``dim`` values."""
    return pa.schema(
        [
            pa.field("text_sha256", pa.string(), nullable=False),  # of the cleaned sentence, UTF-8
            pa.field("text", pa.string(), nullable=False),
            pa.field(
                "embedding", pa.list_(pa.float16(), dim), nullable=False
            ),  # raw, not normalised
            pa.field("tokens", pa.int32(), nullable=False),  # before truncation, specials included
        ]
    )
