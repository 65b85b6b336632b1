"""Rows that must agree: windows that share time, and sentences that stand in a take twice.

A chunk written in another one's place has the right form and the right norms; beside the table
alone it shows, since rows that share time or words no longer share values.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import Problem
from schemas.store import ARRAYS

__all__ = ["REPEAT_COLUMNS", "find_repeat_problems"]

REPEAT_COLUMNS: Final = ("take_uid", "start_ns", "end_ns", "text", "imu_correction_ns")

# Of values of a unit vector in float16; two of one sentence or window are equal bit for bit where
# one call made both.
_TOLERANCE: Final = 2e-3


def find_repeat_problems(
    arrays: Mapping[str, npt.NDArray[Any]], *, rows: pa.Table, low: int, step_ns: int | None
) -> Iterator[Problem]:
    """Yield the first row of each array that differs from another where both show the same.

    Args:
        arrays: name: values (N, ...) of these rows; ``valid`` among them.
        rows: (N,) with ``REPEAT_COLUMNS``, in row order.
        low: number of the first row.
        step_ns: of the grid that IMU windows are slices of; None where each was resampled by
            itself, and only equal windows agree.
    """
    if "valid" not in arrays or len(rows) < 2:
        return
    valid = arrays["valid"]
    take = _codes(rows["take_uid"])
    start_ns, end_ns = rows["start_ns"].to_numpy(), rows["end_ns"].to_numpy()
    moved_ns = rows["imu_correction_ns"].fill_null(0).to_numpy()
    same_take = take[1:] == take[:-1]
    if "imu" in arrays:
        pairs = same_take & valid[1:, 0] & valid[:-1, 0]
        shift_ns = np.diff(start_ns + moved_ns)
        row = _imu_row(arrays["imu"], pairs=pairs, shift_ns=shift_ns, step_ns=step_ns)
        yield from _said("imu", row, low=low, what="time")
    if "video" in arrays:
        same_window = (np.diff(start_ns) == 0) & (np.diff(end_ns) == 0)
        above = np.flatnonzero(same_take & same_window & valid[1:, 1] & valid[:-1, 1])
        row = _first_unlike(arrays["video"], above, above + 1)
        yield from _said("video", row, low=low, what="time")
    if "text" in arrays:
        text = _codes(rows["text"])
        has = np.flatnonzero(valid[:, 2])
        pair = take[has].astype(np.int64) * (len(rows) + 1) + text[has]
        _, first, of = np.unique(pair, return_index=True, return_inverse=True)
        row = _first_unlike(arrays["text"], has[first[of]], has)
        yield from _said("text", row, low=low, what="sentence")


def _said(name: str, row: int | None, *, low: int, what: str) -> Iterator[Problem]:
    if row is not None:
        message = f"must be equal in rows of the same {what}, row {low + row} is not"
        yield Problem(f"{ARRAYS}/{name}", message, "repeated_rows")


def _codes(column: pa.ChunkedArray) -> npt.NDArray[np.int32]:
    """Return a number (N,) for each value, equal where they are; -1 for null."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    codes: npt.NDArray[np.int32] = encoded.indices.fill_null(-1).to_numpy()
    return codes


def _imu_row(
    imu: npt.NDArray[np.float32],
    *,
    pairs: npt.NDArray[np.bool_],
    shift_ns: npt.NDArray[np.int64],
    step_ns: int | None,
) -> int | None:
    samples = imu.shape[2]
    grid = shift_ns if step_ns is None else shift_ns // step_ns
    told = shift_ns == 0 if step_ns is None else shift_ns % step_ns == 0
    meet = np.flatnonzero(pairs & told & (grid >= 0) & (grid < samples))
    wrong: list[int] = []
    for shift in np.unique(grid[meet]).tolist():
        above = meet[grid[meet] == shift]
        ends, begins = imu[above][:, :, shift:], imu[above + 1][:, :, : samples - shift]
        unlike = (ends != begins).any(axis=(1, 2))
        wrong += (above[unlike] + 1).tolist()
    return min(wrong, default=None)


def _first_unlike(
    values: npt.NDArray[np.float16], one: npt.NDArray[np.intp], other: npt.NDArray[np.intp]
) -> int | None:
    gap = np.abs(values[one].astype(np.float32) - values[other]).max(axis=1, initial=0)
    unlike = other[gap > _TOLERANCE]
    return int(unlike[0]) if len(unlike) else None
