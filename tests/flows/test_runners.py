"""Batches: the largest takes first, each once, few enough to a batch that workers end together."""

from pathlib import Path

import pytest

from flows.runners import source_bytes, split_batches
from schemas.take import ImuStream, VideoStream
from tests.factories import make_take


def test_the_largest_come_first_and_equals_by_name() -> None:
    sizes = {"a": 1, "b": 9, "c": 9, "d": 4, "e": 0}
    assert split_batches(sizes, size=1, workers=1) == [["b"], ["c"], ["d"], ["a"], ["e"]]
    assert split_batches(sizes, size=1, workers=1) == split_batches(
        dict(reversed(sizes.items())), size=1, workers=1
    )


@pytest.mark.parametrize(
    ("takes", "size", "workers", "fits"),
    [
        pytest.param(40, 4, 2, 4, id="enough_for_five_batches_each"),
        pytest.param(8, 4, 2, 1, id="few_takes"),
        pytest.param(3, 4, 16, 1, id="fewer_takes_than_workers"),
        pytest.param(1000, 4, 2, 4, id="never_more_than_asked_for"),
        pytest.param(24, 100, 2, 3, id="four_batches_a_worker"),
    ],
)
def test_batches_hold_every_take_once(takes: int, size: int, workers: int, fits: int) -> None:
    sizes = {f"t{i:04}": i % 7 for i in range(takes)}
    batches = split_batches(sizes, size=size, workers=workers)
    assert sorted(uid for batch in batches for uid in batch) == sorted(sizes)
    assert [len(batch) for batch in batches[:-1]] == [fits] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= fits


def test_two_workers_end_together_over_forty_takes() -> None:
    # Whoever is free takes the next batch; the last to end is at most one small batch late.
    sizes = {f"t{i:02}": (i * 37) % 101 + 1 for i in range(40)}
    ends = [0, 0]
    for batch in split_batches(sizes, size=4, workers=2):
        free = ends.index(min(ends))
        ends[free] += sum(sizes[uid] for uid in batch)
    assert max(ends) <= 1.05 * sum(sizes.values()) / 2


def test_no_takes_make_no_batches() -> None:
    assert split_batches({}, size=4, workers=2) == []


@pytest.mark.parametrize(("size", "workers"), [(0, 1), (1, 0)])
def test_batches_of_nothing_are_refused(size: int, workers: int) -> None:
    with pytest.raises(ValueError, match=f"must be positive, got {size} and {workers}"):
        split_batches({"a": 1}, size=size, workers=workers)


def test_a_takes_files_count_once_and_missing_ones_nothing(tmp_path: Path) -> None:
    lengths = {"v.mp4": 5, "v2.mp4": 7, "i.vrs": 11}
    for name, length in lengths.items():
        (tmp_path / name).write_bytes(bytes(length))
    take = make_take(
        "a",
        video=VideoStream(path="v.mp4", variant="full", later_paths=("v2.mp4", "v.mp4")),
        imu=ImuStream(path="i.vrs", label="imu-right", later_paths=("gone.vrs",)),
    )
    assert source_bytes(take, root=tmp_path) == 23
    assert source_bytes(make_take("b", video=None, imu=None), root=tmp_path) == 0
