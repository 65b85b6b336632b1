from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.encoders.embed_prompts import embed_prompts
from schemas.embedding import EmbeddingSpec
from schemas.errors import UsageError

SPEC = EmbeddingSpec(
    name="toy",
    revision=None,
    weights_sha256="0" * 64,
    video_dim=2,
    text_dim=2,
    image_size=32,
    max_tokens=16,
    batch_size=4,
    device_kind="cpu",
    precision="float32",
)


class LengthEncoder:
    """Tells a sentence's length and its number of words, scaled."""

    spec = SPEC

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale

    def encode_frames(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.zeros((len(frames), 2), np.float32)

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        rows = [(len(text), len(text.split())) for text in texts]
        return np.array(rows, np.float32) * np.float32(self._scale)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def test_each_sentence_has_its_own_embedding_and_the_encoder_is_told() -> None:
    asked = {"cook": ("stirs", "cuts the onion"), "dance": ("turns around",)}
    found = embed_prompts(asked, encoder=LengthEncoder())
    assert found.encoder == SPEC
    assert [(one.label, one.prompt, one.embedding) for one in found.prompts] == [
        ("cook", "stirs", (5.0, 1.0)),
        ("cook", "cuts the onion", (14.0, 3.0)),
        ("dance", "turns around", (12.0, 2.0)),
    ]


@pytest.mark.parametrize(("scale", "why"), [(0.0, "got zeros"), (float("inf"), "finite number")])
def test_an_embedding_without_a_direction_is_refused(scale: float, why: str) -> None:
    with pytest.raises(
        UsageError, match=f"encoder toy must give every prompt a direction: .*{why}"
    ):
        embed_prompts({"cook": ("stirs",)}, encoder=LengthEncoder(scale))
