"""The two tables of a folder of one's own data, in CSV or Parquet, and the cells of their rows."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from pipelines.datasets.json_fields import check_size
from schemas.errors import UsageError
from schemas.limits import (
    LARGEST_CELL_CHARACTERS,
    LARGEST_METADATA_BYTES,
    LARGEST_TABLE_RATIO,
    LARGEST_TABLE_START_BYTES,
    MOST_TABLE_ROWS,
)

__all__ = ["Row", "choice_cell", "number_cell", "read_rows", "text_cell", "whole_cell"]

Row = Mapping[str, Any]

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,30}")
_BATCH_ROWS: Final = 1024
# In seconds 31 years.
_LARGEST: Final = 1e9


def read_rows(
    root: Path,
    stem: str,
    *,
    columns: tuple[str, ...],
    needed: tuple[str, ...],
    may_lack: bool = False,
) -> Iterator[tuple[str, Row]]:
    """Yield (place, row) of ``stem.parquet`` or ``stem.csv``; a CSV's cells are all strings.

    Args:
        root: folder of the dataset.
        stem: the table's name without suffix.
        columns: that the table may have.
        needed: that it must have.
        may_lack: there need be no such table.

    Raises:
        UsageError: if the table is not there, there twice, unreadable, or of other columns.
    """
    paths = [path for path in (root / f"{stem}.parquet", root / f"{stem}.csv") if path.is_file()]
    if not paths and may_lack:
        return
    if len(paths) != 1:
        got = " and ".join(path.name for path in paths) or "neither"
        raise UsageError(f"folder must hold {stem}.csv or {stem}.parquet, got {got} [{root}]")
    path = paths[0]
    number = 0
    for batch in _read_batches(path, columns=columns, needed=needed):
        for row in batch.to_pylist():
            number += 1
            yield f"{path.name} row {number}", row


def _read_batches(
    path: Path, *, columns: tuple[str, ...], needed: tuple[str, ...]
) -> Iterator[pa.RecordBatch]:
    try:
        if path.suffix == ".parquet":
            yield from _read_parquet(path, columns=columns, needed=needed)
            return
        check_size(path, most=LARGEST_METADATA_BYTES)
        with path.open(encoding="utf-8-sig") as file:
            names = [name.strip().strip('"') for name in file.readline().split(",")]
        table = pacsv.read_csv(
            path,
            # A sentence may hold a line break, inside quotes.
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path.name} must be a readable table, got: {said} [{path}]") from error
    _check_columns(table.schema, path=path, columns=columns, needed=needed)
    yield from table.to_batches()


def _read_parquet(
    path: Path, *, columns: tuple[str, ...], needed: tuple[str, ...]
) -> Iterator[pa.RecordBatch]:
    """Yield a table's rows a bounded stretch at a time: a few bytes may stand for millions."""
    schema = pq.read_schema(path)
    _check_columns(schema, path=path, columns=columns, needed=needed)
    texts = [field.name for field in schema if _is_text(field.type)]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        if file.metadata.num_rows > MOST_TABLE_ROWS:
            raise UsageError(
                f"{path.name} must have at most {MOST_TABLE_ROWS} rows, got "
                f"{file.metadata.num_rows}: split the dataset [{path}]"
            )
        most = max(LARGEST_TABLE_START_BYTES, LARGEST_TABLE_RATIO * path.stat().st_size)
        unpacked = 0
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            for name in texts:
                longest, together = _measure(batch[name])
                unpacked += together
                if longest > LARGEST_CELL_CHARACTERS:
                    raise UsageError(
                        f"{name} must have at most {LARGEST_CELL_CHARACTERS} bytes a cell, got "
                        f"{longest} [{path}]"
                    )
            if unpacked > most:
                raise UsageError(
                    f"{path.name} must unpack to at most {most} bytes, a hundred times its size: "
                    f"write it with less compression [{path}]"
                )
            yield batch


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _measure(column: pa.Array) -> tuple[int, int]:
    """Return the longest cell's bytes and those of all cells."""
    if pa.types.is_dictionary(column.type):
        lengths = pc.binary_length(column.dictionary).take(column.indices)
    else:
        lengths = pc.binary_length(column)
    return pc.max(lengths).as_py() or 0, pc.sum(lengths).as_py() or 0


def _check_columns(
    schema: pa.Schema, *, path: Path, columns: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    names = schema.names
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise UsageError(f"{path.name} must have each column once, got {', '.join(twice)} twice")
    unknown = [name for name in names if name not in columns]
    lacking = [name for name in needed if name not in names]
    if unknown or lacking:
        wrong = f"unknown {', '.join(unknown)}" if unknown else f"no {', '.join(lacking)}"
        raise UsageError(f"{path.name} must have columns of {', '.join(columns)}; got {wrong}")
    nested = [field.name for field in schema if pa.types.is_nested(field.type)]
    if nested:
        raise UsageError(f"{path.name} must hold one value a cell, got lists in {nested[0]}")


def text_cell(row: Row, name: str) -> str | None:
    """Return what a cell says, stripped; None where it is empty."""
    value = row.get(name)
    if isinstance(value, float) and value.is_integer():
        # pandas turns a column of whole numbers with an empty cell into floats.
        value = int(value)
    said = "" if value is None or value != value else str(value).strip()
    return said or None


def choice_cell(row: Row, name: str, allowed: tuple[str, ...], *, place: str) -> str | None:
    """Return one of a few words.

    Raises:
        UsageError: for another word, with its place.
    """
    value = text_cell(row, name)
    if value is not None and value not in allowed:
        raise UsageError(f"{name} must be among {', '.join(allowed)}, got {value} [{place}]")
    return value


def whole_cell(row: Row, name: str, *, place: str) -> int | None:
    """Return a whole number.

    Raises:
        UsageError: for anything else, with its place.
    """
    value = text_cell(row, name)
    if value is None:
        return None
    # Within 146 years, so that sums of two fit int64; int() would take 1_000 too.
    if _WHOLE.fullmatch(value) and abs(int(value)) < 1 << 62:
        return int(value)
    raise UsageError(f"{name} must be whole nanoseconds, got {value[:40]!r} [{place}]")


def number_cell(row: Row, name: str, *, place: str) -> float | None:
    """Return a number.

    Raises:
        UsageError: for anything else, with its place.
    """
    value = text_cell(row, name)
    try:
        number = None if value is None else float(value)
    except ValueError as error:
        raise UsageError(f"{name} must be a number, got {value!r} [{place}]") from error
    if number is not None and not abs(number) <= _LARGEST:
        raise UsageError(f"{name} must be a number up to {_LARGEST:g}, got {value!r} [{place}]")
    return number
