"""Walk two segment tables side by side: rows in both, and rows of one alone, a block at a time."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from schemas.segment import SEGMENT_SORT

__all__ = ["MergedRows", "merge_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedRows:
    """Rows of one stretch of keys, each table's columns with their ``row`` number."""

    both: tuple[pl.DataFrame, pl.DataFrame]
    """Rows of equal segment_id, in the same order."""
    only: tuple[pl.DataFrame, pl.DataFrame]
    """Rows that the other table lacks."""


def merge_rows(one: Path, other: Path, *, rows: int) -> Iterator[MergedRows]:
    """Yield the rows of two tables, in row order; two blocks of each are in memory.

    Equal ids have equal keys, so a row's partner can only lie in the same stretch of keys.

    Args:
        one: segment table on this machine, sorted by ``SEGMENT_SORT``.
        other: another.
        rows: of a block.
    """
    readers = (_Reader(one, rows=rows), _Reader(other, rows=rows))
    while True:
        for reader in readers:
            reader.fill()
        lasts = [reader.keys[-1] for reader in readers if reader.keys and not reader.ended]
        if not lasts and not any(reader.keys for reader in readers):
            return
        # Up to the end of whichever block ends first, no row is missing from either side.
        cut = min(lasts) if lasts else None
        left, right = (reader.take(cut) for reader in readers)
        in_right, in_left = _is_in(right), _is_in(left)
        yield MergedRows(
            both=(left.filter(in_right), right.filter(in_left)),
            only=(left.filter(~in_right), right.filter(~in_left)),
        )


def _is_in(rows: pl.DataFrame) -> pl.Expr:
    return pl.col("segment_id").is_in(rows["segment_id"].implode())


class _Reader:
    def __init__(self, path: Path, *, rows: int) -> None:
        self._file = pq.ParquetFile(path)
        self._batches = self._file.iter_batches(batch_size=rows)
        self._held = pl.DataFrame(self._file.schema_arrow.empty_table())
        self._held = self._held.with_columns(row=pl.lit(0, pl.Int64))
        self._next_row = 0
        self.keys: list[tuple[Any, ...]] = []
        self.ended = False

    def fill(self) -> None:
        """Read on if nothing is held."""
        if self.keys or self.ended:
            return
        batch = next(self._batches, None)
        if batch is None:
            self.ended = True
            self._file.close()
            return
        frame = pl.DataFrame(batch)
        numbers = pl.int_range(self._next_row, self._next_row + len(frame), eager=True)
        self._held = frame.with_columns(numbers.alias("row"))
        self._next_row += len(frame)
        self.keys = list(frame.select(SEGMENT_SORT).iter_rows())

    def take(self, cut: tuple[Any, ...] | None) -> pl.DataFrame:
        """Return and forget the rows with keys up to ``cut``; all of them without."""
        end = len(self.keys) if cut is None else bisect_right(self.keys, cut)
        taken = self._held[:end]
        self._held, self.keys = self._held[end:], self.keys[end:]
        return taken
