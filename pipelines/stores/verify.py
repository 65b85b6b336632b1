"""Check a published version, object by object and row by row; every problem names its object."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zarr

from pipelines.stores.arrays import array_layout
from pipelines.stores.quality_summary import summarise_quality
from pipelines.stores.sealed import find_digest_problems, read_manifest, read_run_record
from schemas.errors import Problem
from schemas.manifest import QUARANTINE_SCHEMA, Manifest
from schemas.modality import MODALITIES
from schemas.segment import SEGMENT_FIRST_COLUMNS, SEGMENT_SCHEMA, SEGMENT_SORT
from schemas.store import (
    ARRAYS,
    MANIFEST,
    QUARANTINE,
    ROWS_PER_CHUNK,
    SEGMENTS,
    version_path,
)

__all__ = ["find_digest_problems", "read_manifest", "read_run_record", "verify_version"]

# 13 MB of names and times.
_SORTED_ROWS: Final = 65_536
_UNIT_TOLERANCE = 2e-3
"""A vector of unit norm misses it by rounding each value to float16, 2^-11 relative at most."""


def verify_version(
    store: Path, version: str, *, progress: Callable[[str, int, int], None] | None = None
) -> list[Problem]:
    """Return everything wrong with a version; an empty list means it is whole and sound.

    Digests come first; the content is read as well, so that a version that was wrong when it was
    sealed is found too. Memory is bounded by one chunk of rows a core, and one column of the table.

    Args:
        store: folder of the store.
        version: id of the version.
        progress: told what is checked (``digests`` or ``rows``), how many bytes or rows of it are,
            and how many there are.

    Raises:
        NewerFormatError: if a newer format wrote it.
    """
    problems = find_digest_problems(
        store, version, progress=partial(progress, "digests") if progress is not None else None
    )
    if any(p.loc == MANIFEST for p in problems):
        return problems
    manifest = read_manifest(store, version)
    folder = store / version_path(version)
    problems += _count_problems(manifest)
    problems += _content(QUARANTINE, partial(_quarantine_problems, folder, manifest))
    in_table = _content(SEGMENTS, partial(_table_problems, folder, manifest))
    if not in_table:
        in_table = _content(SEGMENTS, partial(_quality_problems, folder, manifest))
    problems += in_table
    for name in array_layout(manifest.imu, encoder=manifest.encoder):
        problems += _content(
            f"{ARRAYS}/{name}", partial(_layout_problems, folder, manifest, name=name)
        )
    if not any(p.kind in ("missing", "layout", "unreadable") for p in problems):
        problems += _content(ARRAYS, partial(_row_problems, folder, manifest, progress=progress))
    return problems


def _content(loc: str, find: Callable[[], Iterator[Problem]]) -> list[Problem]:
    """Collect problems; a file too broken to be read is one of them."""
    problems: list[Problem] = []
    try:
        problems.extend(find())
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        problems.append(Problem(loc, f"must be readable, got {error!s:.200}", "unreadable"))
    return problems


def _count_problems(manifest: Manifest) -> list[Problem]:
    counts = manifest.counts
    dropped, quarantined = sum(counts.dropped.values()), sum(counts.quarantined.values())
    total = counts.stored + dropped + quarantined
    if counts.planned == total:
        return []
    message = (
        f"counts.planned must be stored + dropped + quarantined = {total}, got {counts.planned}"
    )
    return [Problem(MANIFEST, message, "counts")]


def _quarantine_problems(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    table = pq.read_table(folder / QUARANTINE)
    if not table.schema.equals(QUARANTINE_SCHEMA):
        yield Problem(QUARANTINE, f"must have columns {QUARANTINE_SCHEMA.names}", "schema")
        return
    segments = sum(table["segments"].to_pylist())
    counted = sum(manifest.counts.quarantined.values())
    if segments != counted:
        yield Problem(QUARANTINE, f"must sum to {counted} segments, got {segments}", "counts")


def _table_problems(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    file = pq.ParquetFile(folder / SEGMENTS)
    columns = tuple(file.schema_arrow.names)
    first = len(SEGMENT_FIRST_COLUMNS)
    if columns[:first] != SEGMENT_FIRST_COLUMNS:
        yield Problem(SEGMENTS, f"must begin with columns {SEGMENT_FIRST_COLUMNS}", "schema")
        return
    for field in SEGMENT_SCHEMA:
        if field.name not in columns or not file.schema_arrow.field(field.name).equals(field):
            yield Problem(SEGMENTS, f"column {field.name} must be {field.type}", "schema")
            return
    if file.metadata.num_rows != manifest.counts.stored:
        yield Problem(
            SEGMENTS,
            f"must hold counts.stored = {manifest.counts.stored} rows, "
            f"got {file.metadata.num_rows}",
            "counts",
        )
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


def _quality_problems(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    """Compare the spread of the quality columns with what the manifest says of it."""
    found = summarise_quality(folder / SEGMENTS)
    for name in sorted(found.keys() | manifest.quality.keys()):
        if found.get(name) != manifest.quality.get(name):
            yield Problem(
                MANIFEST, f"quality.{name} must be what the rows of {SEGMENTS} give", "quality"
            )


def _layout_problems(folder: Path, manifest: Manifest, *, name: str) -> Iterator[Problem]:
    loc = f"{ARRAYS}/{name}"
    array = zarr.open_array(folder / ARRAYS / name, mode="r")
    dtype, row = array_layout(manifest.imu, encoder=manifest.encoder)[name]
    shape = (manifest.counts.stored, *row)
    if array.shape != shape or str(array.dtype) != dtype:
        yield Problem(loc, f"must be {dtype} {shape}, got {array.dtype} {array.shape}", "layout")
    if array.nchunks_initialized != array.nchunks:
        yield Problem(
            loc,
            f"must have {array.nchunks} chunks, got {array.nchunks_initialized}",
            "missing",
        )


def _row_problems(
    folder: Path,
    manifest: Manifest,
    *,
    progress: Callable[[str, int, int], None] | None,
) -> Iterator[Problem]:
    """Check the arrays against each other and the table, one chunk of rows at a time."""
    group = zarr.open_group(folder / ARRAYS, mode="r")
    arrays = {name: group[name] for name in group.array_keys()}
    has = [f"has_{name}" for name in MODALITIES]
    batches = _row_blocks(pq.ParquetFile(folder / SEGMENTS), columns=has)
    stored = manifest.counts.stored
    told: set[tuple[str, str]] = set()

    def check(low: int, flags: npt.NDArray[np.bool_]) -> list[Problem] | None:
        valid = arrays["valid"][low : min(stored, low + ROWS_PER_CHUNK)]
        if flags.shape != valid.shape:
            return None  # too few rows: the table's own check has said so
        return list(_block_problems(arrays, valid=valid, flags=flags, low=low))

    for high, problems in _in_threads(check, batches, stored=stored):
        if problems is None:
            return
        for problem in problems:
            # One sentence an array and kind: the first row of each tells where to look.
            if (problem.loc, problem.kind) not in told:
                told.add((problem.loc, problem.kind))
                yield problem
        if progress is not None:
            progress("rows", high, stored)


def _in_threads(
    check: Callable[[int, npt.NDArray[np.bool_]], list[Problem] | None],
    batches: Iterator[npt.NDArray[np.bool_]],
    *,
    stored: int,
) -> Iterator[tuple[int, list[Problem] | None]]:
    """Yield the end of each chunk's rows and its problems, in order; a chunk a core is held."""
    cores = os.cpu_count() or 1
    waiting: deque[tuple[int, Future[list[Problem] | None]]] = deque()
    with ThreadPoolExecutor(max_workers=cores) as pool:
        for low, flags in zip(range(0, stored, ROWS_PER_CHUNK), batches, strict=False):
            high = min(stored, low + ROWS_PER_CHUNK)
            waiting.append((high, pool.submit(check, low, flags)))
            if len(waiting) == cores:
                end, future = waiting.popleft()
                yield end, future.result()
        for end, future in waiting:
            yield end, future.result()


def _block_problems(
    arrays: Mapping[str, Any],
    *,
    valid: npt.NDArray[np.bool_],
    flags: npt.NDArray[np.bool_],
    low: int,
) -> Iterator[Problem]:
    for i, name in enumerate(MODALITIES):
        loc = f"{ARRAYS}/{name}"
        wrong = flags[:, i] != valid[:, i]
        if wrong.any():
            row = low + int(np.argmax(wrong))
            yield Problem(
                f"{ARRAYS}/valid", f"must equal has_{name}, row {row} does not", f"has_{name}"
            )
        if name not in arrays:
            if valid[:, i].any():
                yield Problem(loc, "must exist where rows have it, got no array", "missing")
            continue
        block = arrays[name][low : low + len(valid)].reshape(len(valid), -1)
        # In float32, where sums are fast; every float16 is one.
        block = block.astype(np.float32, copy=False)
        squares = np.einsum("ij,ij->i", block, block)
        # A sum of squares is finite if all values are, but for those beyond 1e19.
        finite = np.isfinite(squares)
        if not finite.all():
            finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            yield Problem(
                loc, f"must be finite, row {low + int(np.argmin(finite))} is not", "finite"
            )
        filled = ~valid[:, i]
        filled[filled] = (block[filled] != 0).any(axis=1)
        if filled.any():
            yield Problem(
                loc,
                f"must be zeros where valid is False, row {low + int(np.argmax(filled))} is not",
                "invalid_rows",
            )
        if name == "imu":
            continue
        norms = np.sqrt(squares)
        off = valid[:, i] & finite & (np.abs(norms - 1) > _UNIT_TOLERANCE)
        if off.any():
            row = int(np.argmax(off))
            yield Problem(
                loc, f"must have unit norm, row {low + row} has {norms[row]:.4f}", "unit_norm"
            )


def _row_blocks(file: pq.ParquetFile, *, columns: list[str]) -> Iterator[npt.NDArray[np.bool_]]:
    """Yield boolean columns as (rows, columns) blocks of a whole chunk each, the last one less."""
    held = np.zeros((0, len(columns)), np.bool_)
    for batch in file.iter_batches(batch_size=ROWS_PER_CHUNK, columns=columns):
        arrays = [batch[name].to_numpy(zero_copy_only=False) for name in columns]
        held = np.concatenate([held, np.stack(arrays, axis=1).astype(np.bool_)])
        while len(held) >= ROWS_PER_CHUNK:
            yield held[:ROWS_PER_CHUNK]
            held = held[ROWS_PER_CHUNK:]
    if len(held):
        yield held
