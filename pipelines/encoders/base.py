"""What the pipeline asks of a frozen encoder."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from schemas.embedding import EmbeddingSpec

__all__ = ["FrozenEncoder"]


class FrozenEncoder(Protocol):
    """Turns pictures and sentences into vectors; the bits depend on the content alone."""

    spec: EmbeddingSpec

    def encode_frames(self, frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Return raw frame embeddings (N, Dv) of full RGB frames (N, H, W, 3)."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return raw sentence embeddings (N, Dt)."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return each sentence's number of tokens before truncation, specials included."""
        ...
