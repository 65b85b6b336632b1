"""Each segment's sentence, looked up by hash in the take's text part."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.parts.store import PartStore
from pipelines.stores.pool_frames import unit_rows
from schemas.store import sha256_hex

__all__ = ["FoundText", "look_up_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundText:
    """What N segments draw from a take's sentences."""

    text: npt.NDArray[np.float16]
    """(N, Dt) unit norm; zeros where a sentence has no embedding."""
    tokens: npt.NDArray[np.int32]
    """(N,) before truncation; 0 where there is no embedding."""
    known: npt.NDArray[np.bool_]
    """(N,) whether the sentence has an embedding."""


def look_up_text(
    texts: list[str | None], *, key: str | None, parts: PartStore, dim: int
) -> FoundText:
    """Return what the text part of ``key`` holds of each sentence.

    Args:
        texts: cleaned sentences; None or empty for segments without one.
        key: of the part; None where the take has none.
        parts: where it lies.
        dim: Dt.

    Raises:
        StoreDamagedError: if the part is missing or altered.
        TakeError: if an embedding has no direction.
    """
    vectors: dict[str, npt.NDArray[np.float64]] = {}
    counts: dict[str, int] = {}
    for batch in parts.read("text", key) if key is not None and texts else ():
        hashes = batch.column("text_sha256").to_pylist()
        flat = batch.column("embedding").flatten().to_numpy().reshape(-1, dim)
        vectors.update(zip(hashes, flat.astype(np.float64), strict=True))
        counts.update(zip(hashes, batch.column("tokens").to_pylist(), strict=True))
    hashes_of = [sha256_hex(t.encode()) if t else "" for t in texts]
    known = np.array([h in vectors for h in hashes_of], np.bool_)
    zeros = np.zeros(dim)
    # An (N, 0) table of an absent encoder has no length to infer N from.
    rows = np.array([vectors.get(h, zeros) for h in hashes_of]).reshape(len(texts), dim)
    tokens = np.array([counts.get(h, 0) for h in hashes_of], np.int32)
    return FoundText(text=unit_rows(rows, present=known), tokens=tokens, known=known)
