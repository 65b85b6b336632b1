"""The ``logistic`` protocol: regularised regression, its strength chosen on validation."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from primus_train.probes.config import ProbeConfig
from primus_train.probes.labelled import ProbeData, Trial
from primus_train.probes.linear import fit_heads, select_heads

__all__ = ["fit_logistic"]


def fit_logistic(
    data: ProbeData, places: npt.NDArray[np.int64], *, config: ProbeConfig
) -> Iterator[Trial]:
    """Yield the trials whose shots lie at ``places`` (T, n), all of them solved together."""
    labels = data.labelled.labels
    tuned = len(labels["val"]) > 0
    heads = fit_heads(
        data.features["train"][places],
        labels["train"][places],
        classes=len(data.labelled.classes),
        strengths=config.strengths if tuned else (config.fixed_strength,),
    )
    if tuned:
        heads = select_heads(heads, data.features["val"], labels["val"], sets=len(places))
    predicted = {split: heads.predict(data.features[split]) for split in config.eval_splits}
    for trial in range(len(places)):
        yield Trial(
            predicted={split: classes[trial] for split, classes in predicted.items()},
            strength=float(heads.strength[trial]),
            converged=bool(heads.converged[trial]),
        )
