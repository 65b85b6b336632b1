"""Settings of studies that cost next to nothing, and rows as a study would have them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primus_train.studies.settings import StudySettings, make_settings

CHEAP = ("objective.bank_size=16", "epochs=1", "data.batch_size=12")


def cheap_settings(study: Any, *stores: Path | str, **fields: Any) -> StudySettings:
    given = {
        "shots": (1, 3),
        "trials": 2,
        "probe": ("epochs=1", "min_steps=1", "strengths=[0.1]"),
        "overrides": CHEAP,
        **fields,
    }
    return make_settings(study, stores=[str(store) for store in stores], **given)


def make_row(**values: Any) -> dict[str, Any]:
    """A row of a study's table; accuracies decide mean and error."""
    from primus_train.probes.table import mean_and_error

    accuracies = values.pop("accuracies", [0.5, 0.7])
    mean, error = mean_and_error(accuracies)
    row = {
        "study": "baselines",
        "panel": 0,
        "panel_name": "Toy",
        "dataset": "toy",
        "store": "/stores/toy",
        "version": "0123456789abcdef",
        "method": "primus",
        "title": "PRIMUS",
        "share": None,
        "split": "test",
        "shots": 1,
        "trials": len(accuracies),
        "n": 1200,
        "classes": ["cook", "dance", "walk", "sit"],
        "chance": 0.25,
        "majority": 0.4,
        "near_chance": None if mean is None else mean - 0.25 < 0.05,
        "collapsed": False,
        "reason": None,
        "failed": False,
        "protocol": "logistic",
        "shots_by": "segment",
        "encoder": "pretrained",
        "representation": "multimodal",
        "head": "optimum",
        "probe_seed": 0,
        "probe": "b" * 64,
        "run": "a" * 64,
        "run_folder": "/out/runs/a",
        "checkpoint_sha256": "c" * 64,
        "objective": "ss+mm+nn",
        "transforms": ["scaling", "time_reversal"],
        "trained_on": "0123456789abcdef",
        "mask": None,
        "mask_sha256": None,
        "seed": 0,
        "steps": 2,
        "train_rows": 24,
        "commit": "d" * 40,
        "dirty": False,
        "probe_commit": "d" * 40,
    }
    for one, many in (
        ("accuracy", "accuracies"),
        ("balanced_accuracy", "balanced_accuracies"),
        ("macro_f1", "macro_f1s"),
    ):
        row |= {one: mean, f"{one}_se": error, many: list(accuracies)}
    return row | values


@pytest.fixture(scope="session")
def cheap() -> Callable[..., StudySettings]:
    return cheap_settings


@pytest.fixture(scope="session")
def row() -> Callable[..., dict[str, Any]]:
    return make_row
