"""The table of a probe: a row for each number of shots and evaluated split."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from primus_train.probes.labelled import Trial
from primus_train.probes.scores import accuracy, balanced_accuracy, confusion_matrix, macro_f1

__all__ = ["PROBE_SCHEMA", "make_row", "mean_and_error"]

Ints = npt.NDArray[np.int64]

NEAR_CHANCE: Final = 0.05
"""A balanced accuracy less than this above chance is flagged: the encoder may have collapsed.

Plain accuracy would hide it where classes are uneven: guessing the largest class looks good.
"""

_EACH: Final = pa.list_(pa.float64())
PROBE_SCHEMA: Final = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("shots", pa.int32(), nullable=False),  # per class
        pa.field("trials", pa.int32(), nullable=False),
        pa.field("n", pa.int64(), nullable=False),  # windows evaluated
        pa.field("classes", pa.int32(), nullable=False),
        pa.field("accuracy", pa.float64()),  # mean over trials; null = n/a
        pa.field("accuracy_se", pa.float64()),  # null with one trial
        pa.field("balanced_accuracy", pa.float64()),  # mean of the classes' recalls
        pa.field("balanced_accuracy_se", pa.float64()),
        pa.field("chance", pa.float64(), nullable=False),  # 1 / classes
        pa.field("majority", pa.float64(), nullable=False),  # share of the largest class
        pa.field("near_chance", pa.bool_()),
        pa.field("unconverged", pa.int32(), nullable=False),  # trials whose fit hit its limit
        pa.field("strength", pa.float64()),  # median of the chosen lambdas
        pa.field("strength_from", pa.string(), nullable=False),  # validation | fixed | none
        pa.field("accuracies", _EACH, nullable=False),  # one a trial
        pa.field("reason", pa.string()),  # why the point is n/a
        # Columns are only ever added, here.
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("shots_by", pa.string(), nullable=False),  # segment | take
        pa.field("macro_f1", pa.float64()),  # mean of the classes' F1
        pa.field("macro_f1_se", pa.float64()),
        pa.field("balanced_accuracies", _EACH, nullable=False),  # one a trial
        pa.field("macro_f1s", _EACH, nullable=False),  # one a trial
        # [true class][class given], summed over the trials; null = n/a
        pa.field("confusion", pa.list_(pa.list_(pa.int64()))),
        pa.field("shot_takes", pa.list_(pa.int32()), nullable=False),  # takes of a trial's shots
    ]
)


def mean_and_error(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return mean and standard error; of one value no error, of none neither."""
    if not values:
        return None, None
    if len(values) == 1:
        return float(values[0]), None
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))


def make_row(
    trials: Sequence[Trial],
    *,
    labels: Ints,
    classes: int,
    split: str,
    shots: int,
    shot_takes: Sequence[int],
    protocol: str,
    shots_by: str,
    strength_from: str,
    reason: str | None,
) -> dict[str, Any]:
    """Return a row of `PROBE_SCHEMA`; without trials it is n/a, for ``reason``.

    Args:
        trials: all that were made.
        labels: (n,) the truth in ``split``.
        classes: K.
        split: the evaluated one.
        shots: per class.
        shot_takes: how many takes each trial's shots lie in.
        protocol: the classifier.
        shots_by: how shots were drawn.
        strength_from: validation, fixed or none.
        reason: why there are no trials.
    """
    matrices = [confusion_matrix(t.predicted[split], labels, classes=classes) for t in trials]

    def each(score: Callable[[Ints], float]) -> list[float]:
        return [score(matrix) for matrix in matrices]

    accuracies, balanced, f1s = each(accuracy), each(balanced_accuracy), each(macro_f1)
    mean, error = mean_and_error(accuracies)
    balanced_mean, balanced_error = mean_and_error(balanced)
    f1_mean, f1_error = mean_and_error(f1s)
    strengths = [trial.strength for trial in trials if trial.strength is not None]
    chance = 1 / classes
    return {
        "split": split,
        "shots": shots,
        "trials": len(trials),
        "n": len(labels),
        "classes": classes,
        "accuracy": mean,
        "accuracy_se": error,
        "balanced_accuracy": balanced_mean,
        "balanced_accuracy_se": balanced_error,
        "chance": chance,
        "majority": float(np.bincount(labels).max() / len(labels)),
        "near_chance": None if balanced_mean is None else balanced_mean - chance < NEAR_CHANCE,
        "unconverged": sum(not trial.converged for trial in trials),
        "strength": float(np.median(strengths)) if strengths else None,
        "strength_from": strength_from,
        "accuracies": accuracies,
        "reason": reason,
        "protocol": protocol,
        "shots_by": shots_by,
        "macro_f1": f1_mean,
        "macro_f1_se": f1_error,
        "balanced_accuracies": balanced,
        "macro_f1s": f1s,
        "confusion": np.sum(matrices, axis=0).tolist() if matrices else None,
        "shot_takes": list(shot_takes),
    }
