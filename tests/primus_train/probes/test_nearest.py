from collections import defaultdict

import numpy as np
import pytest

from primus_train.probes.config import ProbeConfig
from primus_train.probes.labelled import Labelled, ProbeData
from primus_train.probes.nearest import fit_nearest, vote


def by_hand(shots: list[list[float]], labels: list[int], row: list[float], neighbours: int) -> int:
    """Vote one window at a time, from the definition."""

    def cosine(a: list[float], b: list[float]) -> float:
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return float(dot / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5)

    ranked = sorted(((cosine(s, row), k) for s, k in zip(shots, labels, strict=True)), reverse=True)
    votes: dict[int, int] = defaultdict(int)
    sums: dict[int, float] = defaultdict(float)
    for similarity, k in ranked[:neighbours]:
        votes[k] += 1
        sums[k] += similarity
    return max(votes, key=lambda k: (votes[k], sums[k]))


@pytest.mark.parametrize("neighbours", [1, 2, 3, 6, 15])
def test_votes_are_those_of_a_plain_search(neighbours: int) -> None:
    rng = np.random.default_rng(neighbours)
    shots, labels = rng.normal(size=(15, 3)), rng.integers(0, 4, 15)
    rows = rng.normal(size=(60, 3)) * rng.uniform(0.1, 10, size=(60, 1))
    found = vote(shots, labels, rows, classes=4, neighbours=neighbours)
    wanted = [by_hand(shots.tolist(), labels.tolist(), r, neighbours) for r in rows.tolist()]
    assert found.tolist() == wanted
    shuffled = vote(shots, labels[::-1].copy(), rows, classes=4, neighbours=neighbours)
    assert (shuffled.tolist() != wanted) == (neighbours < 15)  # where all vote, nearness is moot


def test_length_is_of_no_matter_and_a_zero_vector_does_no_harm() -> None:
    shots = np.array([[1.0, 0.0], [0.0, 100.0]])
    rows = np.array([[5.0, 1.0], [0.01, 0.02], [0.0, 0.0]])
    found = vote(shots, np.array([0, 1]), rows, classes=2, neighbours=1)
    assert found[:2].tolist() == [0, 1]
    assert found[2] in {0, 1}


def test_many_rows_go_by_blocks() -> None:
    rng = np.random.default_rng(0)
    shots, labels, rows = rng.normal(size=(8, 3)), np.arange(8) % 2, rng.normal(size=(2500, 3))
    whole = vote(shots, labels, rows, classes=2, neighbours=3)
    parts = [vote(shots, labels, rows[i : i + 10], classes=2, neighbours=3) for i in (1020, 2490)]
    assert whole[1020:1030].tolist() == parts[0].tolist()
    assert whole[2490:].tolist() == parts[1].tolist()


def test_no_more_vote_than_there_are_shots_a_class() -> None:
    features = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0], [0.6, 0.5]])
    labels = np.array([0, 0, 1, 1, 0])
    data = ProbeData(
        labelled=Labelled(
            classes=("a", "b"),
            rows={},
            labels={"train": labels, "val": labels, "test": labels},
            takes=labels,
        ),
        features={"train": features, "val": features, "test": features},
    )
    config = ProbeConfig(protocol="knn", neighbours=5)
    # With two voters of four the last window's are its own class's; all four would tie.
    (trial,) = fit_nearest(data, np.array([[0, 1, 2, 3]]), config=config)
    assert trial.predicted["test"].tolist() == labels.tolist()
    assert (trial.strength, trial.converged) == (None, True)
