import pytest

from primus_train.objectives.multitask import TASKS
from primus_train.studies.methods import (
    BASELINES,
    DEFAULT_PAIR,
    SHARED_METHODS,
    SUBSETS,
    make_method_config,
    pair_methods,
)
from schemas.errors import UsageError


def test_the_baselines_are_the_papers_five() -> None:
    made = {m.title: make_method_config(m).objective for m in BASELINES}
    assert {title: o.name for title, o in made.items()} == {
        "PRIMUS": "ss+mm+nn",
        "IMU2CLIP": "mm",
        "SimCLR": "ss",
        "MultitaskSSL": "multitask",
        "Standard training": "ss",
    }
    assert [m.title for m in BASELINES if m.untrained] == ["Standard training"]
    assert [m.title for m in SHARED_METHODS] == ["PRIMUS", "IMU2CLIP"]
    assert made["IMU2CLIP"].modalities == ("video", "text")


def test_the_subsets_are_all_seven_with_the_whole_first() -> None:
    found = [make_method_config(method).objective.terms for method in SUBSETS]
    # Every number from 1 to 7 names a subset of three by its bits.
    expected = {
        tuple(term for bit, term in enumerate(("ss", "mm", "nn")) if number >> bit & 1)
        for number in range(1, 8)
    }
    assert (len(found), set(found), found[0]) == (7, expected, ("ss", "mm", "nn"))


def test_pairs_are_all_of_two_of_eight_once() -> None:
    methods = pair_methods()
    views = [make_method_config(method).view.transforms for method in methods]
    assert len(views) == 28 == 8 * 7 / 2
    assert {frozenset(view) for view in views} == {
        frozenset((a, b)) for a in TASKS for b in TASKS if a != b
    }
    assert DEFAULT_PAIR in views
    assert {make_method_config(method).objective.terms for method in methods} == {("ss",)}
    assert [method.name for method in methods] == ["+".join(view) for view in views]


def test_overrides_reach_every_method_but_cannot_unmake_it() -> None:
    config = make_method_config(BASELINES[1], overrides=["epochs=3", "objective.bank_size=7"])
    assert (config.epochs, config.objective.bank_size) == (3, 7)
    with pytest.raises(
        UsageError, match=r"--set objective\.terms must stay what the study makes it, mm for IMU2C"
    ):
        make_method_config(BASELINES[1], overrides=["objective.terms=[ss]"])
    with pytest.raises(
        UsageError, match=r"view\.transforms must stay .*jitter, scaling for .*, got rotation"
    ):
        make_method_config(pair_methods()[0], overrides=["view.transforms=[rotation]"])
