"""Check the arrays of a version: their layout, and every row against the segment table."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.storage.places import Place
from pipelines.stores.array_files import read_array_metadata, read_chunk_file, read_row_blocks
from pipelines.stores.arrays import array_layout
from pipelines.stores.repeated_rows import REPEAT_COLUMNS, find_repeat_problems
from schemas.errors import Problem
from schemas.manifest import Manifest
from schemas.modality import MODALITIES
from schemas.store import ARRAYS, ROWS_PER_CHUNK, SEGMENTS

__all__ = ["find_layout_problems", "find_row_problems"]

_UNIT_TOLERANCE: Final = 2e-3
"""A vector of unit norm misses it by rounding each value to float16, 2^-11 relative at most."""

_HAS: Final = tuple(f"has_{name}" for name in MODALITIES)
_ABSENT: Final[Mapping[str, Any]] = {"storage_transformers": []}
_BYTES: Final[Mapping[str, Any]] = {"name": "bytes", "configuration": {"endian": "little"}}


def find_layout_problems(folder: Place, *, manifest: Manifest) -> Iterator[Problem]:
    """Yield what Zarr would read another way than the store format says."""
    group = read_array_metadata(folder)
    if (group.get("zarr_format"), group.get("node_type")) != (3, "group"):
        yield Problem(f"{ARRAYS}/zarr.json", "must be that of a group of Zarr 3", "layout")
    for name, (dtype, row) in array_layout(manifest.imu, encoder=manifest.encoder).items():
        found = read_array_metadata(folder, name)
        wanted = _layout(manifest, dtype=dtype, row=row)
        if name == "imu":
            attributes = found.get("attributes", {})
            wanted["attributes"] = attributes
            spec = manifest.imu.model_dump(mode="json", exclude={"samples"})
            for key, value in spec.items():
                if attributes.get(key) != value:
                    message = f"attribute {key} must be {value}, got {attributes.get(key)}"
                    yield Problem(f"{ARRAYS}/{name}/zarr.json", message, "layout")
        # What a byte means, in one size, is told by no codec's order of bytes.
        codecs = found.get("codecs")
        if dtype == "bool" and codecs == [{"name": "bytes"}]:
            found["codecs"] = wanted["codecs"]
        for key, value in wanted.items():
            if found.get(key, _ABSENT.get(key)) != value:
                message = f"{key} must be {value}, got {found.get(key)}"
                yield Problem(f"{ARRAYS}/{name}/zarr.json", message, "layout")


def _layout(manifest: Manifest, *, dtype: str, row: tuple[int, ...]) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [manifest.counts.stored, *row],
        "data_type": dtype,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [ROWS_PER_CHUNK, *row]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": False if dtype == "bool" else "NaN",
        "codecs": [dict(_BYTES)],
        "storage_transformers": [],
    }


def find_row_problems(
    folder: Place,
    *,
    table: Path,
    manifest: Manifest,
    altered: frozenset[str] = frozenset(),
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Problem]:
    """Yield what is wrong with the values of the arrays, by themselves and beside the table.

    Args:
        folder: of the version.
        table: its segment table, on this machine.
        manifest: of the version.
        altered: objects known to be damaged, which are compared with no other.
        progress: told how many rows are checked, and of how many.
    """
    layout = array_layout(manifest.imu, encoder=manifest.encoder)
    stored = manifest.counts.stored
    step = Fraction(manifest.imu.length_ns, manifest.imu.samples)
    sliced = manifest.config.get("imu", {}).get("resampling") != "window"
    told: set[tuple[str, str]] = set()

    def check(low: int, rows: pa.Table) -> list[Problem]:
        number = low // ROWS_PER_CHUNK
        arrays = {
            name: read_chunk_file(folder, name, number, dtype=dtype, row=row)
            for name, (dtype, row) in layout.items()
        }
        problems = [*_padding_problems(arrays, rows=len(rows), low=low)]
        arrays = {name: values[: len(rows)] for name, values in arrays.items()}
        problems += _block_problems(arrays, rows=rows, low=low)
        known = altered | {p.loc for p in problems}
        sound = {n: a for n, a in arrays.items() if not _touched(known, n, number)}
        if SEGMENTS in known:
            return problems
        problems += find_repeat_problems(
            sound,
            rows=rows,
            low=low,
            step_ns=step.numerator if step.denominator == 1 and sliced else None,
        )
        return problems

    blocks = read_row_blocks(table, columns=[*_HAS, *REPEAT_COLUMNS])
    for high, problems in _in_threads(check, blocks, stored=stored):
        for problem in problems:
            # One sentence an array and kind: the first row of each tells where to look.
            if (problem.loc, problem.kind) not in told:
                told.add((problem.loc, problem.kind))
                yield problem
        if progress is not None:
            progress(high, stored)


def _touched(locs: frozenset[str], name: str, number: int) -> bool:
    return f"{ARRAYS}/{name}" in locs or any(
        loc.startswith(f"{ARRAYS}/{name}/c/{number}/") for loc in locs
    )


def _in_threads(
    check: Callable[[int, pa.Table], list[Problem]], blocks: Iterator[pa.Table], *, stored: int
) -> Iterator[tuple[int, list[Problem]]]:
    """Yield the end of each chunk's rows and its problems, in order; a chunk a core is held."""
    cores = os.cpu_count() or 1
    waiting: deque[tuple[int, Future[list[Problem]]]] = deque()
    with ThreadPoolExecutor(max_workers=cores) as pool:
        for low, rows in zip(range(0, stored, ROWS_PER_CHUNK), blocks, strict=False):
            high = min(stored, low + ROWS_PER_CHUNK)
            waiting.append((high, pool.submit(check, low, rows)))
            if len(waiting) == cores:
                end, future = waiting.popleft()
                yield end, future.result()
        for end, future in waiting:
            yield end, future.result()


def _padding_problems(
    arrays: Mapping[str, npt.NDArray[Any]], *, rows: int, low: int
) -> Iterator[Problem]:
    for name, values in arrays.items():
        rest = values[rows:]
        wrong = rest.any() if rest.dtype == np.bool_ else not np.isnan(rest).all()
        if len(rest) and wrong:
            message = f"must hold the fill value from row {low + rows} on, beyond the last one"
            yield Problem(f"{ARRAYS}/{name}", message, "padding")


def _block_problems(
    arrays: Mapping[str, npt.NDArray[Any]], *, rows: pa.Table, low: int
) -> Iterator[Problem]:
    # As bytes: anything but 0 and 1 is neither.
    valid = arrays["valid"].view(np.uint8)
    for i, name in enumerate(MODALITIES):
        loc = f"{ARRAYS}/{name}"
        flags = rows[_HAS[i]].to_numpy()
        wrong = flags.astype(np.uint8) != valid[:, i]
        if wrong.any():
            row = low + int(np.argmax(wrong))
            yield Problem(
                f"{ARRAYS}/valid", f"must equal has_{name}, row {row} does not", f"has_{name}"
            )
        there = valid[:, i] == 1
        if name not in arrays:
            if there.any():
                yield Problem(loc, "must exist where rows have it, got no array", "missing")
            continue
        block = arrays[name].reshape(len(valid), -1)
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
        filled = ~there
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
        off = there & finite & (np.abs(norms - 1) > _UNIT_TOLERANCE)
        if off.any():
            row = int(np.argmax(off))
            yield Problem(
                loc, f"must have unit norm, row {low + row} has {norms[row]:.4f}", "unit_norm"
            )
