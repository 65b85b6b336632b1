"""What the pipeline asks of a frozen encoder."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from schemas.embedding import EmbeddingSpec

__all__ = ["FramePooler", "FrozenEncoder"]


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


class FramePooler(Protocol):
    """Turns a segment's frame embeddings into one; the bits depend on these frames alone."""

    def __call__(self, frames: npt.NDArray[np.float16], /) -> npt.NDArray[np.float64]:
        """Return one vector (D,) of any length from raw frame embeddings (F, D) in time order."""
        ...
