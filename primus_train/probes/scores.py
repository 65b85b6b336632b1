"""Scores of a classification, all from its confusion matrix."""

import numpy as np
import numpy.typing as npt

__all__ = ["accuracy", "balanced_accuracy", "confusion_matrix", "macro_f1"]

Ints = npt.NDArray[np.int64]


def confusion_matrix(predicted: Ints, labels: Ints, *, classes: int) -> Ints:
    """Return how often class i was taken for class j, shape (K, K).

    Args:
        predicted: (n,) in [0, classes).
        labels: (n,) the truth, in [0, classes).
        classes: K.

    Raises:
        ValueError: if the two are not as many, at least 1, or a number is no class.
    """
    if len(predicted) != len(labels) or len(labels) == 0:
        raise ValueError(
            f"predicted and labels must be as many, at least 1, got {len(predicted)} and "
            f"{len(labels)}"
        )
    for name, values in (("predicted", predicted), ("labels", labels)):
        if values.min() < 0 or values.max() >= classes:
            raise ValueError(
                f"{name} must lie in [0, {classes}), got {values.min()} to {values.max()}"
            )
    cells = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def accuracy(confusion: Ints) -> float:
    """Return the share of all samples that were recognised."""
    return float(np.trace(confusion) / confusion.sum())


def balanced_accuracy(confusion: Ints) -> float:
    """Return the mean recall of the classes that occur."""
    total = confusion.sum(axis=1)
    present = total > 0
    return float(np.mean(np.diagonal(confusion)[present] / total[present]))


def macro_f1(confusion: Ints) -> float:
    """Return the mean F1 of the classes that occur; one that is never recognised counts 0.

    A class that is predicted without occurring lowers the recall of those it was taken for; it is
    not a term of its own, so that the terms are the same in every trial.
    """
    present = confusion.sum(axis=1) > 0
    # 2 TP / (2 TP + FP + FN): rows sum to TP + FN, columns to TP + FP.
    sums = confusion.sum(axis=0) + confusion.sum(axis=1)
    return float(np.mean(2 * np.diagonal(confusion)[present] / sums[present]))
