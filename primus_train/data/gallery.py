"""Choose rows that stand for distinct stretches of time."""

import numpy as np
import numpy.typing as npt

from primus_train.data.store import StoreData

__all__ = ["distinct_windows", "non_overlapping"]


def _sorted_spans(store: StoreData, rows: npt.NDArray[np.int64]) -> list[tuple[str, int, int, int]]:
    takes = store.column("take_uid")
    starts = store.column("start_ns")
    ends = store.column("end_ns")
    return sorted((str(takes[r]), int(starts[r]), int(ends[r]), int(r)) for r in rows)


def non_overlapping(store: StoreData, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the rows whose segments do not overlap, chosen greedily by start within each take.

    Returns:
        (n,) int64, sorted by take and start.
    """
    chosen: list[int] = []
    current, free_from_ns = "", 0
    for take, start_ns, end_ns, row in _sorted_spans(store, rows):
        if take != current or start_ns >= free_from_ns:
            chosen.append(row)
            current, free_from_ns = take, end_ns
    return np.array(chosen, dtype=np.int64)


def distinct_windows(store: StoreData, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return one row for each window: several sentences about one window are one IMU sample.

    Returns:
        (n,) int64, ascending.
    """
    first = {(take, start, end): row for take, start, end, row in _sorted_spans(store, rows)[::-1]}
    return np.sort(np.array(list(first.values()), dtype=np.int64))
