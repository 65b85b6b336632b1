"""The two tables of a folder of one's own data, in CSV or Parquet, and the cells of their rows."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from schemas.errors import UsageError

__all__ = ["Row", "choice_cell", "number_cell", "read_rows", "text_cell", "whole_cell"]

Row = Mapping[str, Any]

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,30}")
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
    try:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
        else:
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
    twice = sorted({n for n in table.column_names if table.column_names.count(n) > 1})
    if twice:
        raise UsageError(f"{path.name} must have each column once, got {', '.join(twice)} twice")
    unknown = [name for name in table.column_names if name not in columns]
    lacking = [name for name in needed if name not in table.column_names]
    if unknown or lacking:
        wrong = f"unknown {', '.join(unknown)}" if unknown else f"no {', '.join(lacking)}"
        raise UsageError(f"{path.name} must have columns of {', '.join(columns)}; got {wrong}")
    number = 0
    for batch in table.to_batches():
        for row in batch.to_pylist():
            number += 1
            yield f"{path.name} row {number}", row


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
