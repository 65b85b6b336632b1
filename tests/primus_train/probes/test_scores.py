import numpy as np
import pytest

from primus_train.probes.scores import accuracy, balanced_accuracy, confusion_matrix, macro_f1


def drawn(n: int, classes: int, seed: int) -> tuple[list[int], list[int]]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    predicted = np.where(rng.random(n) < 0.6, labels, rng.integers(0, classes, n))
    return predicted.tolist(), labels.tolist()


@pytest.mark.parametrize("seed", range(4))
def test_all_scores_are_those_of_plain_counting(seed: int) -> None:
    predicted, labels = drawn(50, 4, seed)
    found = confusion_matrix(np.array(predicted), np.array(labels), classes=4)
    for true in range(4):
        for given in range(4):
            pairs = zip(labels, predicted, strict=True)
            assert found[true, given] == sum((t, p) == (true, given) for t, p in pairs)
    pairs = list(zip(labels, predicted, strict=True))
    recalls, f1s = [], []
    for k in range(4):
        hits = sum(t == k and p == k for t, p in pairs)
        missed = sum(t == k and p != k for t, p in pairs)
        false = sum(t != k and p == k for t, p in pairs)
        precision, recall = hits / (hits + false), hits / (hits + missed)
        recalls.append(recall)
        f1s.append(2 * precision * recall / (precision + recall))
    assert accuracy(found) == pytest.approx(sum(t == p for t, p in pairs) / 50)
    assert balanced_accuracy(found) == pytest.approx(sum(recalls) / 4)
    assert macro_f1(found) == pytest.approx(sum(f1s) / 4)
    assert len({accuracy(found), balanced_accuracy(found), macro_f1(found)}) == 3


def test_rows_are_the_truth_and_columns_what_was_said() -> None:
    found = confusion_matrix(np.array([1, 1, 0]), np.array([0, 0, 0]), classes=2)
    assert found.tolist() == [[1, 2], [0, 0]]
    turned = confusion_matrix(np.array([0, 0, 0]), np.array([1, 1, 0]), classes=2)
    assert turned.tolist() == [[1, 0], [2, 0]]


def test_classes_that_do_not_occur_are_no_terms_and_unrecognised_ones_are_zeros() -> None:
    # Class 2 never occurs but is said once; class 1 occurs and is never said.
    found = confusion_matrix(np.array([0, 0, 2, 0]), np.array([0, 0, 0, 1]), classes=4)
    assert balanced_accuracy(found) == pytest.approx((2 / 3 + 0) / 2)
    assert macro_f1(found) == pytest.approx((2 * 2 / (2 * 2 + 1 + 1) + 0) / 2)


@pytest.mark.parametrize(
    ("predicted", "labels", "message"),
    [
        ([], [], "at least 1, got 0 and 0"),
        ([0, 1], [0], "got 2 and 1"),
        ([0, 3], [0, 1], r"predicted must lie in \[0, 3\), got 0 to 3"),
        ([0, 1], [-1, 1], r"labels must lie in \[0, 3\), got -1 to 1"),
    ],
)
def test_what_cannot_be_counted_is_refused(
    predicted: list[int], labels: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        confusion_matrix(
            np.array(predicted, dtype=np.int64), np.array(labels, dtype=np.int64), classes=3
        )
