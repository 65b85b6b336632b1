"""Sentences that describe classes, with their embeddings: one JSON file."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from schemas.embedding import EmbeddingSpec

__all__ = ["Prompt", "PromptSet"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Prompt(_Closed):
    """One sentence about one class."""

    label: Annotated[str, Field(min_length=1)] = Field(description="the class")
    prompt: Annotated[str, Field(min_length=1)] = Field(description="the sentence, as encoded")
    embedding: tuple[FiniteFloat, ...] = Field(description="as it leaves the encoder, of any norm")


class PromptSet(_Closed):
    """What ``primus-prep embed-prompts`` writes and ``primus-train`` reads."""

    format_version: Literal[1] = 1
    encoder: EmbeddingSpec = Field(description="what embedded the sentences")
    prompts: tuple[Prompt, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _embeddings_are_the_encoders(self) -> Self:
        seen: set[tuple[str, str]] = set()
        for one in self.prompts:
            if len(one.embedding) != self.encoder.text_dim:
                raise ValueError(
                    f"embedding must have the encoder's {self.encoder.text_dim} numbers, got "
                    f"{len(one.embedding)} [prompt={one.prompt!r}]"
                )
            if math.hypot(*one.embedding) == 0:
                raise ValueError(
                    f"embedding must have a direction, got zeros [prompt={one.prompt!r}]"
                )
            if (one.label, one.prompt) in seen:
                raise ValueError(f"prompts must differ, got {one.prompt!r} twice for {one.label!r}")
            seen.add((one.label, one.prompt))
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in alphabetical order."""
        return tuple(sorted({one.label for one in self.prompts}))

    def of(self, label: str) -> Iterator[Prompt]:
        """Yield the prompts of a class in their order."""
        return (one for one in self.prompts if one.label == label)
