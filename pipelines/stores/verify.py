"""Check a published version, object by object and row by row; every problem names its object."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import zarr

from pipelines.stores.arrays import array_layout
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

_UNIT_TOLERANCE = 2e-3
"""A vector of unit norm misses it by rounding each value to float16, 2^-11 relative at most."""


def verify_version(
    store: Path, version: str, *, progress: Callable[[int], None] | None = None
) -> list[Problem]:
    """Return everything wrong with a version; an empty list means it is whole and sound.

    Digests come first; the content is read as well, so that a version that was wrong when it was
    sealed is found too. Memory is bounded by one chunk of rows.

    Args:
        store: folder of the store.
        version: id of the version.
        progress: called with the rows checked so far.

    Raises:
        NewerFormatError: if a newer format wrote it.
    """
    problems = find_digest_problems(store, version)
    if any(p.loc == MANIFEST for p in problems):
        return problems
    manifest = read_manifest(store, version)
    folder = store / version_path(version)
    problems += _count_problems(manifest)
    problems += _content(QUARANTINE, partial(_quarantine_problems, folder, manifest))
    problems += _content(SEGMENTS, partial(_table_problems, folder, manifest))
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
    before: tuple[Any, ...] | None = None
    at = 0
    for batch in file.iter_batches(batch_size=ROWS_PER_CHUNK, columns=[*SEGMENT_SORT]):
        for key in zip(*(batch[name].to_pylist() for name in SEGMENT_SORT), strict=True):
            if before is not None and key <= before:
                kind = "repeat" if key == before else "order"
                message = f"rows must be sorted by {SEGMENT_SORT}, row {at} is not"
                yield Problem(SEGMENTS, message, kind)
                return
            before, at = key, at + 1


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
    folder: Path, manifest: Manifest, *, progress: Callable[[int], None] | None
) -> Iterator[Problem]:
    """Check the arrays against each other and the table, one chunk of rows at a time."""
    group = zarr.open_group(folder / ARRAYS, mode="r")
    has = [f"has_{name}" for name in MODALITIES]
    batches = _row_blocks(pq.ParquetFile(folder / SEGMENTS), columns=has)
    stored = manifest.counts.stored
    told: set[tuple[str, str]] = set()
    for low in range(0, stored, ROWS_PER_CHUNK):
        high = min(stored, low + ROWS_PER_CHUNK)
        valid = group["valid"][low:high]
        flags = next(batches, None)
        if flags is None or flags.shape != valid.shape:
            return  # too few rows: the table's own check has said so
        found = list(_block_problems(group, valid=valid, flags=flags, low=low, high=high))
        for problem in found:
            # One sentence an array and kind: the first row of each tells where to look.
            if (problem.loc, problem.kind) not in told:
                told.add((problem.loc, problem.kind))
                yield problem
        if progress is not None:
            progress(high)


def _block_problems(
    group: Any,  # noqa: ANN401 - zarr ships no types
    *,
    valid: npt.NDArray[np.bool_],
    flags: npt.NDArray[np.bool_],
    low: int,
    high: int,
) -> Iterator[Problem]:
    for i, name in enumerate(MODALITIES):
        loc = f"{ARRAYS}/{name}"
        wrong = flags[:, i] != valid[:, i]
        if wrong.any():
            row = low + int(np.argmax(wrong))
            yield Problem(
                f"{ARRAYS}/valid", f"must equal has_{name}, row {row} does not", f"has_{name}"
            )
        if name not in group:
            if valid[:, i].any():
                yield Problem(loc, "must exist where rows have it, got no array", "missing")
            continue
        block = group[name][low:high].reshape(high - low, -1)
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            yield Problem(
                loc, f"must be finite, row {low + int(np.argmin(finite))} is not", "finite"
            )
        filled = ~valid[:, i] & (block != 0).any(axis=1)
        if filled.any():
            yield Problem(
                loc,
                f"must be zeros where valid is False, row {low + int(np.argmax(filled))} is not",
                "invalid_rows",
            )
        if name == "imu":
            continue
        norms = np.linalg.norm(block.astype(np.float32), axis=1)
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
