"""How sentences are cleaned, and what embeds them and the frames."""

from typing import Literal

from pydantic import Field

from pipelines.config.closed import Closed

__all__ = ["EncoderConfig", "TextConfig"]


class TextConfig(Closed):
    """How sentences are cleaned."""

    cleaning: Literal["default", "published"] = Field(
        default="default", description="published deletes every capital C, as the published code"
    )
    sources: tuple[str, ...] | None = Field(
        default=None,
        description="annotation sets to read; default the dataset's first, such as "
        "atomic_descriptions; egoexo4d also has expert_commentary",
    )
    passes: Literal["all", "first"] = Field(
        default="all",
        description="annotator passes of a take; first: only the file's first, rejected or not",
    )
    subjects: Literal["any", "wearer"] = Field(
        default="any", description="wearer: sentences known to be about others are dropped"
    )
    visibility: Literal["any", "visible"] = Field(
        default="any",
        description="visible: sentences about what the wearer's camera does not show are dropped",
    )


class EncoderConfig(Closed):
    """The frozen video-and-text encoder."""

    name: str = Field(
        default="Searchium-ai/clip4clip-webvid150k",
        description="hub name, local folder, or none for stores of IMU alone",
    )
    revision: str | None = Field(default=None, description="hub revision; resolved and recorded")
    batch_size: int = Field(default=32, ge=1, description="rows of every encoder call")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="where it runs")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 on a GPU that has it, float32 elsewhere"
    )
    pooling: Literal["mean", "seqTransf"] = Field(
        default="mean", description="from a segment's frame embeddings to one; no frame is read"
    )
