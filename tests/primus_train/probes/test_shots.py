from collections import Counter
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from primus_train.probes.shots import draw_shots

Ints = npt.NDArray[np.int64]


def windows() -> tuple[Ints, Ints]:
    """Class 0 in takes of 6, 3 and 1 windows, class 1 in takes of 5 and 5."""
    takes = np.array([0] * 6 + [1] * 3 + [2] + [3] * 5 + [4] * 5)
    labels = np.array([0] * 10 + [1] * 10)
    order = np.random.default_rng(5).permutation(20)
    return labels[order], takes[order]


def drawn(shots: int, by: Literal["segment", "take"], seed: int) -> Ints:
    labels, takes = windows()
    return draw_shots(labels, takes, classes=2, shots=shots, by=by, seed=seed)


@pytest.mark.parametrize("by", ["segment", "take"])
def test_each_class_gives_its_shots_once_and_more_shots_contain_fewer(
    by: Literal["segment", "take"],
) -> None:
    labels, _ = windows()
    for seed in range(5):
        before: set[int] = set()
        for shots in range(1, 11):
            places = drawn(shots, by, seed)
            assert labels[places].tolist() == [0] * shots + [1] * shots
            assert before < set(places.tolist())
            assert len(set(places.tolist())) == 2 * shots
            before = set(places.tolist())


def test_by_take_the_shots_lie_in_as_many_takes_as_there_are_evenly() -> None:
    _, takes = windows()
    for seed in range(20):
        for shots in range(1, 11):
            counts = Counter(takes[drawn(shots, "take", seed)[:shots]].tolist())
            assert len(counts) == min(shots, 3)
            for take, size in ((0, 6), (1, 3), (2, 1)):
                # A take gives less than another by two or more only when it has no more.
                if counts[take] < size:
                    assert max(counts.values()) - counts[take] <= 1


def test_by_segment_long_takes_give_more() -> None:
    _, takes = windows()
    firsts = Counter(int(takes[drawn(1, "segment", seed)[0]]) for seed in range(400))
    assert firsts[0] > 2 * firsts[2] > 0
    evenly = Counter(int(takes[drawn(1, "take", seed)[0]]) for seed in range(400))
    # Three takes, 133 each; a deviation is 9.4.
    assert all(abs(evenly[take] - 400 / 3) < 4 * 9.4 for take in range(3))


@pytest.mark.parametrize("by", ["segment", "take"])
def test_the_seed_decides(by: Literal["segment", "take"]) -> None:
    same = [drawn(3, by, seed).tolist() for seed in (1, 1, 2)]
    assert same[0] == same[1] != same[2]
