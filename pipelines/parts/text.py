"""The text part: one embedding a unique sentence of a take."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from pipelines.encoders.base import FrozenEncoder
from pipelines.parts.frames import to_embedding_column
from pipelines.parts.store import PartStore
from schemas.embedding import text_part_schema
from schemas.store import sha256_hex

__all__ = ["write_text_part"]


def write_text_part(
    parts: PartStore, key: str, *, texts: Sequence[str], encoder: FrozenEncoder
) -> None:
    """Encode a take's sentences and write them in the order given.

    Args:
        parts: where the part goes.
        key: of the part.
        texts: cleaned sentences, unique and sorted.
        encoder: frozen encoder.

    Raises:
        ValueError: if the sentences are not unique and sorted.
        TakeError: as ``to_embedding_column``.
    """
    if any(a >= b for a, b in pairwise(texts)):
        raise ValueError("texts must be unique and sorted")
    schema = text_part_schema(encoder.spec.text_dim)
    parts.write("text", key, schema=schema, batches=_batches(texts, encoder=encoder, schema=schema))


def _batches(
    texts: Sequence[str], *, encoder: FrozenEncoder, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    rows = encoder.spec.batch_size * 8
    for first in range(0, len(texts), rows):
        some = list(texts[first : first + rows])
        yield pa.record_batch(
            [
                pa.array([sha256_hex(text.encode()) for text in some]),
                pa.array(some),
                to_embedding_column(encoder.encode_texts(some), place="text part"),
                pa.array(np.array(encoder.count_tokens(some), dtype=np.int32)),
            ],
            schema=schema,
        )
