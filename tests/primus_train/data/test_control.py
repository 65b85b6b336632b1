from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from primus_train.data.control import permuted_video
from primus_train.data.store import open_store
from schemas.errors import UsageError


@pytest.mark.parametrize("seed", range(5))
def test_across_takes_every_row_gets_a_video_of_another_take_once(
    toy_store: Path, seed: int
) -> None:
    store = open_store(str(toy_store))
    rows = store.rows(splits=("train",))
    takes = store.column("take_uid")
    video_of = permuted_video(store, rows, across="takes", seed=seed)
    assert all(takes[video_of[r]] != takes[r] for r in rows)
    assert sorted(video_of[rows]) == sorted(rows)
    others = np.setdiff1d(np.arange(len(store)), rows)
    np.testing.assert_array_equal(video_of[others], others)


def test_two_takes_of_equal_size_exchange_their_videos(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path, takes=("train-0", "train-1"), per_take=4)
    store = open_store(str(tmp_path))
    video_of = permuted_video(store, np.arange(8), across="takes", seed=0)
    assert set(video_of[:4]) == {4, 5, 6, 7}
    assert set(video_of[4:]) == {0, 1, 2, 3}


def test_a_take_with_more_than_half_of_the_rows_is_refused(
    tmp_path: Path, store_writer: Callable[..., str]
) -> None:
    store_writer(tmp_path, takes=("train-0", "train-1"), per_take=4)
    store = open_store(str(tmp_path))
    with pytest.raises(
        UsageError, match=r"more than half of the train rows with video, got 4 of 7"
    ):
        permuted_video(store, np.arange(7), across="takes", seed=0)


def test_within_a_label_videos_stay_in_it(tmp_path: Path, store_writer: Callable[..., str]) -> None:
    def unlabel(data: dict[str, Any]) -> None:
        for row in data["rows"][12:]:
            row["label"] = None

    store_writer(tmp_path, takes=[f"train-{i}" for i in range(6)], per_take=3, change=unlabel)
    store = open_store(str(tmp_path))
    labels = store.column("label")
    video_of = permuted_video(store, np.arange(18), across="label", seed=1)
    assert [labels[i] for i in video_of] == list(labels)
    assert Counter(video_of.tolist()) == Counter(range(18))
    assert (video_of != np.arange(18)).sum() > 9


def test_masked_rows_neither_give_nor_take_a_video(toy_store: Path) -> None:
    store = open_store(str(toy_store), mask="half")
    rows = store.rows(splits=("train",))
    video_of = permuted_video(store, rows, across="takes", seed=0)
    hidden = rows[rows % 2 == 1]
    np.testing.assert_array_equal(video_of[hidden], hidden)
    assert set(video_of[rows[rows % 2 == 0]]) == set(rows[rows % 2 == 0])


def test_the_permutation_depends_on_the_seed(toy_store: Path) -> None:
    store = open_store(str(toy_store))
    rows = store.rows(splits=("train",))
    one, again, two = (permuted_video(store, rows, across="takes", seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert one.tolist() != two.tolist()


def test_without_any_video_nothing_moves(toy_store: Path) -> None:
    store = open_store(str(toy_store), mask="allhidden")
    rows = store.rows(splits=("train",))
    video_of = permuted_video(store, rows, across="takes", seed=0)
    np.testing.assert_array_equal(video_of, np.arange(len(store)))
