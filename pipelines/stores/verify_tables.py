"""Check the Parquet files of a version: schema, order, ids, and all that their rows count."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.stores.quality_summary import summarise_quality
from pipelines.stores.tables import file_schema
from pipelines.stores.tally import VersionTally
from schemas.errors import PrimusError, Problem
from schemas.manifest import QUARANTINE_SCHEMA, Manifest
from schemas.segment import (
    SEGMENT_FIRST_COLUMNS,
    SEGMENT_SCHEMA,
    SEGMENT_SORT,
    make_segment_id,
)
from schemas.store import MANIFEST, QUARANTINE, SEGMENTS

__all__ = ["find_quarantine_problems", "find_table_problems"]

# 13 MB of names and times.
_SORTED_ROWS: Final = 65_536
_IDENTITY: Final = (
    "dataset", "take_uid", "start_ns", "end_ns", "text_source", "pass_uid", "narration_ns",
    "text_raw",
)  # fmt: skip
_COUNTED: Final = ("take_uid", "participant", "split", "label", "tokens")
# Far more exact repeats than anyone annotates.
_MOST_REPEATS: Final = 1000
_FROM_ROWS: Final = (
    "stored", "takes", "splits", "labels", "shared_participants", "split_participants",
    "long_sentences",
)  # fmt: skip


def find_quarantine_problems(path: Path, *, manifest: Manifest) -> Iterator[Problem]:
    """Yield what is wrong with the quarantine table at ``path``."""
    table = pq.read_table(path)
    if not table.schema.equals(QUARANTINE_SCHEMA):
        yield Problem(QUARANTINE, f"must have columns {QUARANTINE_SCHEMA.names}", "schema")
        return
    keys = [(name, "ascending") for name in ("dataset", "take_uid", "reason", "detail")]
    if not table.equals(table.sort_by(keys)):
        yield Problem(QUARANTINE, "must be sorted by dataset, take_uid, reason, detail", "order")
    found = VersionTally().finish(quarantine=table, ignored={})
    for name in ("quarantined", "quarantined_takes"):
        counted, rows = getattr(manifest.counts, name), getattr(found, name)
        if counted != rows:
            message = f"must count {counted} {name} as the manifest does, got {rows}"
            yield Problem(QUARANTINE, message, "counts")


def find_table_problems(path: Path, *, manifest: Manifest) -> Iterator[Problem]:
    """Yield what is wrong with the segment table at ``path``; 65,536 rows are held at a time."""
    with pq.ParquetFile(path) as file:
        in_schema = list(_schema_problems(file.schema_arrow))
        yield from in_schema
        if in_schema:
            return
        if file.metadata.num_rows != manifest.counts.stored:
            yield Problem(
                SEGMENTS,
                f"must hold counts.stored = {manifest.counts.stored} rows, "
                f"got {file.metadata.num_rows}",
                "counts",
            )
            return
        in_rows = [*_order_problems(file), *_id_problems(file)]
        yield from in_rows
        if not in_rows:
            yield from _count_problems(file, manifest)
    if not in_rows:
        yield from _quality_problems(path, manifest)


def _schema_problems(schema: pa.Schema) -> Iterator[Problem]:
    columns = tuple(schema.names)
    first = len(SEGMENT_FIRST_COLUMNS)
    if columns[:first] != SEGMENT_FIRST_COLUMNS:
        yield Problem(SEGMENTS, f"must begin with columns {SEGMENT_FIRST_COLUMNS}", "schema")
        return
    for field in SEGMENT_SCHEMA:
        if field.name not in columns or not schema.field(field.name).equals(field):
            yield Problem(SEGMENTS, f"column {field.name} must be {field.type}", "schema")
            return
    metadata, wanted = schema.metadata or {}, file_schema(schema).metadata
    for name in sorted(wanted):
        if metadata.get(name) != wanted[name]:
            message = f"metadata {name.decode()} must be {wanted[name].decode()}"
            yield Problem(SEGMENTS, message, "schema")


def _order_problems(file: pq.ParquetFile) -> Iterator[Problem]:
    held: pa.Table | None = None
    low = 0
    for batch in file.iter_batches(batch_size=_SORTED_ROWS, columns=[*SEGMENT_SORT]):
        rows = pa.Table.from_batches([batch])
        if held is not None:
            rows = pa.concat_tables([held, rows])
        for kind, row in _sort_problem(rows):
            at = low + row
            yield Problem(SEGMENTS, f"rows must be sorted by {SEGMENT_SORT}, row {at} is not", kind)
            return
        low += len(rows) - 1
        held = rows.slice(len(rows) - 1)


def _sort_problem(rows: pa.Table) -> Iterator[tuple[str, int]]:
    """Yield the first row that does not come after the one before it, and what it is."""
    above, below = rows.slice(0, len(rows) - 1), rows.slice(1)
    after = pa.scalar(False)
    same = pa.scalar(True)
    for name in reversed(SEGMENT_SORT):
        equal = pc.equal(above[name], below[name])
        after = pc.or_(pc.less(above[name], below[name]), pc.and_(equal, after))
        same = pc.and_(equal, same)
    wrong = pc.invert(after)
    if pc.any(wrong).as_py():
        row = pc.index(wrong, value=True).as_py()
        yield ("repeat" if same[row].as_py() else "order"), row + 1


def _id_problems(file: pq.ParquetFile) -> Iterator[Problem]:
    """Yield the first row whose id is not that of what it says."""
    at = 0
    seen: set[str] = set()
    take: tuple[Any, Any] | None = None
    for batch in file.iter_batches(batch_size=_SORTED_ROWS, columns=["segment_id", *_IDENTITY]):
        columns = [batch[name].to_pylist() for name in ("segment_id", *_IDENTITY)]
        for segment_id, *identity in zip(*columns, strict=True):
            if (identity[0], identity[1]) != take:
                take = (identity[0], identity[1])
                seen.clear()
            if segment_id in seen:
                yield Problem(
                    SEGMENTS, f"segment_id must be unique, row {at} repeats one", "repeat"
                )
                return
            seen.add(segment_id)
            if not any(make_segment_id([*identity, k]) == segment_id for k in range(_MOST_REPEATS)):
                message = f"segment_id must be the digest of the row's own values, row {at} is not"
                yield Problem(SEGMENTS, message, "segment_id")
                return
            at += 1


def _count_problems(file: pq.ParquetFile, manifest: Manifest) -> Iterator[Problem]:
    """Compare the manifest's counts with those of the rows."""
    encoder = manifest.encoder
    tally = VersionTally(max_tokens=encoder.max_tokens if encoder is not None else None)
    takes: set[str] = set()
    waiting: pa.Table | None = None
    for batch in file.iter_batches(batch_size=_SORTED_ROWS, columns=[*_COUNTED]):
        rows = pa.Table.from_batches([batch])
        if waiting is not None:
            rows = pa.concat_tables([waiting, rows])
        # A take is counted as a whole: its last rows may come with the next batch.
        last = rows["take_uid"][-1]
        whole = pc.index(rows["take_uid"], last).as_py()
        waiting = rows.slice(whole)
        tally.add_rows(rows.slice(0, whole))
        takes.update(pc.unique(rows["take_uid"]).to_pylist())
    if waiting is not None:
        tally.add_rows(waiting)
    tally.stored, tally.takes = file.metadata.num_rows, len(takes)
    empty = QUARANTINE_SCHEMA.empty_table()
    may_share = manifest.config.get("splits", {}).get("kind") == "official"
    try:
        found = tally.finish(quarantine=empty, ignored={}, may_share=may_share)
    except PrimusError as error:
        yield Problem(SEGMENTS, str(error), "split")
        return
    for name in _FROM_ROWS:
        told, counted = getattr(manifest.counts, name), getattr(found, name)
        if told != counted:
            message = f"counts.{name} must be {counted} as the rows of {SEGMENTS} give, got {told}"
            yield Problem(MANIFEST, message, "counts")


def _quality_problems(path: Path, manifest: Manifest) -> Iterator[Problem]:
    """Compare the spread of the quality columns with what the manifest says of it."""
    found = summarise_quality(path)
    for name in sorted(found.keys() | manifest.quality.keys()):
        if found.get(name) != manifest.quality.get(name):
            yield Problem(
                MANIFEST, f"quality.{name} must be what the rows of {SEGMENTS} give", "quality"
            )
