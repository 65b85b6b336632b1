"""The array files of a version, read as the bytes they are: one chunk at a time, from anywhere."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.places import Place
from pipelines.stores.contents import read_object
from schemas.errors import StoreDamagedError
from schemas.store import ARRAYS, ROWS_PER_CHUNK, parse_json

__all__ = ["chunk_path", "read_array_metadata", "read_chunk_file", "read_row_blocks"]


def chunk_path(name: str, number: int, *, row: tuple[int, ...]) -> str:
    """Return the path of an array's chunk of rows, relative to the version.

    Args:
        name: of the array.
        number: of the chunk.
        row: shape of one row; never cut.
    """
    return "/".join([ARRAYS, name, "c", str(number), *["0"] * len(row)])


def read_array_metadata(folder: Place, name: str = "") -> dict[str, Any]:
    """Return ``zarr.json`` of an array of the version in ``folder``; of their group without name.

    Raises:
        StoreDamagedError: if it is no object.
        ValueError: if it is no JSON.
    """
    group = folder / ARRAYS
    found = parse_json(read_object((group / name if name else group) / "zarr.json"))
    if not isinstance(found, dict):
        raise StoreDamagedError(f"zarr.json must be an object, got {type(found).__name__}")
    return found


def read_chunk_file(
    folder: Place, name: str, number: int, *, dtype: str, row: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Return a whole chunk of an array, (4096, *row): the file has its values and nothing else.

    Raises:
        ValueError: if the file has another size.
    """
    shape = (ROWS_PER_CHUNK, *row)
    data = read_object(folder / chunk_path(name, number, row=row))
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)


def read_row_blocks(table: Path, *, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the rows of each chunk from a segment table on this machine, the last ones fewer."""
    held: pa.Table | None = None
    with pq.ParquetFile(table) as file:
        for batch in file.iter_batches(batch_size=ROWS_PER_CHUNK, columns=[*columns]):
            rows = pa.Table.from_batches([batch])
            held = rows if held is None else pa.concat_tables([held, rows])
            while len(held) >= ROWS_PER_CHUNK:
                yield held.slice(0, ROWS_PER_CHUNK).combine_chunks()
                held = held.slice(ROWS_PER_CHUNK)
    if held is not None and len(held):
        yield held.combine_chunks()
