"""Embed the sentences of classes with the encoder of a store's narrations."""

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from pipelines.encoders.base import FrozenEncoder
from schemas.errors import UsageError
from schemas.prompts import Prompt, PromptSet

__all__ = ["embed_prompts"]


def embed_prompts(prompts: Mapping[str, Sequence[str]], *, encoder: FrozenEncoder) -> PromptSet:
    """Return the sentences of each class with their embeddings, in the order given.

    Args:
        prompts: class: its sentences, as the encoder is to read them.
        encoder: frozen encoder.

    Raises:
        UsageError: if the encoder gives a sentence no finite embedding with a direction.
    """
    asked = [(label, prompt) for label, said in prompts.items() for prompt in said]
    embeddings = encoder.encode_texts([prompt for _, prompt in asked]).tolist()
    try:
        return PromptSet(
            encoder=encoder.spec,
            prompts=tuple(
                Prompt(label=label, prompt=prompt, embedding=tuple(embedding))
                for (label, prompt), embedding in zip(asked, embeddings, strict=True)
            ),
        )
    except ValidationError as error:
        raise UsageError(
            f"encoder {encoder.spec.name} must give every prompt a direction: "
            f"{error.errors()[0]['msg']}"
        ) from error
