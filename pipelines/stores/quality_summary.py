"""Spread of every quality column over a version's rows, read back from the table as written."""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.segment import SEGMENT_FIRST_COLUMNS, SEGMENT_SCHEMA

__all__ = ["QUALITY_COLUMNS", "summarise_quality"]

QUALITY_COLUMNS: Final = tuple(
    field.name
    for field in SEGMENT_SCHEMA
    if field.name not in SEGMENT_FIRST_COLUMNS
    and (pa.types.is_primitive(field.type) or pa.types.is_boolean(field.type))
)
"""Numbers and yes-or-no columns after the first seventeen; yes counts as 1."""

_DIGITS: Final = 6


def summarise_quality(path: Path) -> dict[str, dict[str, float]]:
    """Return column: count, mean, p05, p50, p95 and max over the rows that have a value.

    Percentiles are interpolated linearly between rows; every figure but the count is rounded to six
    significant digits, above what the order of a sum can change. A column that is null throughout
    is left out. One column is in memory at a time: 8 bytes a row.

    Args:
        path: of a segment table.
    """
    summary: dict[str, dict[str, float]] = {}
    for name in QUALITY_COLUMNS:
        column = pq.read_table(path, columns=[name])[name].drop_null()
        if len(column) == 0:
            continue
        values = column.cast(pa.float64()).to_numpy()
        p05, p50, p95 = np.quantile(values, (0.05, 0.5, 0.95)).tolist()
        figures = {
            "mean": float(values.mean()),
            "p05": p05,
            "p50": p50,
            "p95": p95,
            "max": float(values.max()),
        }
        summary[name] = {
            "count": float(len(values)),
            **{figure: _rounded(value) for figure, value in figures.items()},
        }
    return summary


def _rounded(value: float) -> float:
    # Adding zero turns a negative zero into the one zero that JSON should hold.
    return float(f"{value:.{_DIGITS}g}") + 0.0
