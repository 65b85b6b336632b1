from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from primus_train.data.gallery import distinct_windows, non_overlapping
from primus_train.data.store import open_store

NS = 1_000_000_000


def test_gallery_is_greedy_by_start_within_each_take(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    # Windows of 5 s every 2 s: 0-5 taken, 2-7 and 4-9 overlap it, 6-11 taken, 8-13 and 10-15
    # overlap that, 12-17 taken.
    store_writer(tmp_path, takes=("test-0", "test-1"), per_take=7, step_ns=2 * NS)
    store = open_store(str(tmp_path))
    assert non_overlapping(store, np.arange(14)).tolist() == [0, 3, 6, 7, 10, 13]
    assert non_overlapping(store, np.array([5, 1, 2])).tolist() == [1, 5]
    assert non_overlapping(store, np.array([], dtype=np.int64)).tolist() == []


def test_windows_that_only_touch_are_both_kept(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    assert non_overlapping(store, np.arange(6)).tolist() == [0, 1, 2, 3, 4, 5]


def test_several_sentences_on_one_window_count_once(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    def repeat(data: dict[str, Any]) -> None:
        for field in ("start_ns", "end_ns"):
            data["rows"][2][field] = data["rows"][1][field]

    store_writer(tmp_path, takes=("test-0", "test-1"), per_take=3, change=repeat)
    store = open_store(str(tmp_path))
    assert distinct_windows(store, np.arange(6)).tolist() == [0, 1, 3, 4, 5]
    assert distinct_windows(store, np.array([2, 1])).tolist() == [1]
