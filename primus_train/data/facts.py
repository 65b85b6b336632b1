"""What a loss may want to know of each segment beside its arrays, as whole numbers."""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from primus_train.data.store import StoreData

__all__ = [
    "END_NS",
    "FACTS",
    "LABEL",
    "SENTENCE",
    "START_NS",
    "TAKE",
    "WINDOW",
    "SegmentFacts",
    "read_facts",
    "unknown_facts",
]

FACTS: Final = 6
"""Columns of `SegmentFacts.values`."""
LABEL: Final = 0
"""Place of the label's number in `SegmentFacts.classes`; -1 without one."""
TAKE: Final = 1
"""Place of the take's number: equal where the take is; -1 where it is not known."""
START_NS: Final = 2
"""Place of the segment's start on the take clock."""
END_NS: Final = 3
"""Place of its end, which is not in it."""
SENTENCE: Final = 4
"""Place of the sentence's number: equal where the cleaned text is; -1 without one."""
WINDOW: Final = 5
"""Place of the window's number: equal where take, start and end are (several sentences may be about
one window); -1 where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentFacts:
    """Facts of all segments of a version.

    Attributes:
        classes: labels in alphabetical order, of all splits.
        values: (N, FACTS) int64.
    """

    classes: tuple[str, ...]
    values: Tensor


def read_facts(store: StoreData) -> SegmentFacts:
    """Return the facts of a version's segments, in row order."""
    labels = store.table["label"].combine_chunks()
    classes = pc.unique(labels).drop_null().sort()
    numbers = pc.fill_null(pc.index_in(labels, value_set=classes), -1)
    columns = [
        numbers,
        _numbered(store.table["take_uid"]),
        store.table["start_ns"],
        store.table["end_ns"],
        _numbered(store.table["text"]),
    ]
    values = torch.empty((len(store.table), FACTS), dtype=torch.int64)
    for place, column in enumerate(columns):
        values[:, place] = torch.from_numpy(column.cast(pa.int64()).to_numpy().copy())
    # A version's rows are sorted by take, start and end: equal windows stand together.
    span = values[:, [TAKE, START_NS, END_NS]]
    begins = (span[1:] != span[:-1]).any(dim=1)
    values[:1, WINDOW] = 0
    values[1:, WINDOW] = begins.cumsum(0)
    return SegmentFacts(classes=tuple(classes.to_pylist()), values=values)


def unknown_facts(count: int, *, device: torch.device | None = None) -> Tensor:
    """Return the facts (count, FACTS) of windows that come from no store."""
    return torch.full((count, FACTS), -1, dtype=torch.int64, device=device)


def _numbered(column: pa.ChunkedArray) -> pa.Array:
    encoded = column.combine_chunks().dictionary_encode()
    return pc.fill_null(encoded.indices, -1)
