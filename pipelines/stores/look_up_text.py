"""Each segment's sentence, looked up in the take's text part."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.parts.store import PartStore
from pipelines.stores.pool_frames import unit_rows

__all__ = ["FoundText", "find_sentences", "look_up_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundText:
    """Which of N segments' sentences a take's text part knows."""

    tokens: npt.NDArray[np.int32]
    """(N,) before truncation; 0 where there is no embedding."""
    known: npt.NDArray[np.bool_]
    """(N,) whether the sentence has an embedding."""


def find_sentences(texts: pa.Array, *, key: str | None, parts: PartStore) -> FoundText:
    """Return what the text part of ``key`` knows of each sentence, its embeddings left unread.

    Args:
        texts: (N,) cleaned sentences; null or empty for segments without one.
        key: of the part; None where the take has none.
        parts: where it lies.

    Raises:
        StoreDamagedError: if the part is missing or cut short.
    """
    tokens = np.zeros(len(texts), np.int32)
    known = np.zeros(len(texts), np.bool_)
    if key is not None and len(texts):
        part = parts.read_columns("text", key, names=("text", "tokens"))
        row, known = _find(texts, sentences=part["text"])
        tokens[known] = part["tokens"].to_numpy()[row[known]]
    return FoundText(tokens=tokens, known=known)


def look_up_text(
    texts: pa.Array, *, key: str, parts: PartStore, dim: int
) -> npt.NDArray[np.float16]:
    """Return the embedding of each sentence: (N, Dt) unit norm, zeros where there is none.

    Args:
        texts: (N,) cleaned sentences; null or empty for segments without one.
        key: of the part.
        parts: where it lies.
        dim: Dt.

    Raises:
        StoreDamagedError: if the part is missing or altered.
        TakeError: if an embedding has no direction.
    """
    batches = list(parts.read("text", key))
    flat = [batch.column("embedding").flatten().to_numpy().reshape(-1, dim) for batch in batches]
    sentences = pa.chunked_array([batch.column("text") for batch in batches], pa.string())
    row, known = _find(texts, sentences=sentences)
    used, again = np.unique(row[known], return_inverse=True)
    vectors = np.concatenate([np.zeros((0, dim), np.float16), *flat])[used].astype(np.float64)
    text = np.zeros((len(texts), dim), np.float16)
    text[known] = unit_rows(vectors, present=np.ones(len(used), np.bool_))[again]
    return text


def _find(
    texts: pa.Array, *, sentences: pa.ChunkedArray
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return, for each sentence, its row in the part and whether it has one."""
    # The empty sentence is in no part, and null is no sentence.
    at = pc.index_in(texts, value_set=sentences.combine_chunks(), skip_nulls=True)
    known = at.is_valid().to_numpy(zero_copy_only=False)
    return at.fill_null(0).to_numpy().astype(np.int64), known
