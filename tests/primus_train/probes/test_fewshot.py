from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from primus_train.config import make_fit_config
from primus_train.data.store import open_store
from primus_train.loop import BEST, pretrain
from primus_train.probes.fewshot import (
    PROBE_SCHEMA,
    ProbeConfig,
    ProbeData,
    probe,
    probe_data,
    run_trials,
)
from primus_train.representation import embed_rows, read_pretrained
from schemas.errors import UsageError


def data(*, noise: float = 1.0, val: int = 30, per_class: tuple[int, ...] = (20, 12)) -> ProbeData:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(per_class), 6))

    def made(counts: tuple[int, ...]) -> tuple[Any, Any]:
        labels = np.repeat(np.arange(len(counts)), counts)
        return centres[labels] + noise * rng.normal(size=(len(labels), 6)), labels

    parts = {"train": made(per_class), "val": made((val, val)), "test": made((30, 10))}
    return ProbeData(
        classes=("a", "b"),
        features={name: x for name, (x, _) in parts.items()},
        labels={name: y for name, (_, y) in parts.items()},
    )


def test_mean_and_standard_error_are_those_of_the_trials() -> None:
    (row,) = run_trials(data(), config=ProbeConfig(shots=(3,), trials=6))
    accuracies = row["accuracies"]
    assert len(set(accuracies)) > 1
    mean = sum(accuracies) / 6
    deviation = (sum((a - mean) ** 2 for a in accuracies) / 5) ** 0.5
    assert row["accuracy"] == pytest.approx(mean)
    assert row["accuracy_se"] == pytest.approx(deviation / 6**0.5)
    assert (row["trials"], row["n"], row["classes"]) == (6, 40, 2)
    assert (row["chance"], row["majority"]) == (0.5, 0.75)
    assert row["unconverged"] == 0
    assert row["strength_from"] == "validation"


def test_one_trial_has_no_standard_error() -> None:
    (row,) = run_trials(data(), config=ProbeConfig(shots=(3,), trials=1))
    assert row["accuracy"] == row["accuracies"][0]
    assert row["accuracy_se"] is None


def test_a_class_with_too_few_windows_makes_the_point_na_and_is_named() -> None:
    rows = run_trials(data(), config=ProbeConfig(shots=(12, 13, 21), trials=2))
    assert [row["accuracy"] is None for row in rows] == [False, True, True]
    assert [row["trials"] for row in rows] == [2, 0, 0]
    assert rows[1]["reason"] == "fewer than 13 train windows: b (12)"
    assert rows[2]["reason"] == "fewer than 21 train windows: a (20), b (12)"
    table = pa.Table.from_pylist(rows, schema=PROBE_SCHEMA)
    assert table["accuracy"].null_count == 2


def test_without_validation_labels_the_strength_is_the_fixed_one() -> None:
    config = ProbeConfig(shots=(3,), trials=2, fixed_strength=0.7)
    (row,) = run_trials(data(val=0), config=config)
    assert (row["strength_from"], row["strength"]) == ("fixed", 0.7)


def test_the_seed_draws_the_shots_and_more_shots_contain_fewer() -> None:
    rows = [
        run_trials(data(), config=ProbeConfig(shots=(3,), trials=4, seed=seed))[0]["accuracies"]
        for seed in (0, 0, 1)
    ]
    assert rows[0] == rows[1] != rows[2]


def test_a_collapsed_encoder_is_flagged_though_the_majority_makes_it_look_good() -> None:
    collapsed = data()
    for features in collapsed.features.values():
        features[:] = 1.0
    (row,) = run_trials(collapsed, config=ProbeConfig(shots=(5,), trials=1))
    # One class for all: of 30 and 10 windows either 75 % or 25 %, and always half a recall each.
    assert row["accuracy"] in {0.75, 0.25}
    assert row["balanced_accuracy"] == 0.5
    assert row["near_chance"] is True


def test_balanced_accuracy_is_the_mean_recall() -> None:
    (row,) = run_trials(data(noise=2), config=ProbeConfig(shots=(5,), trials=1))
    recalls = {(a / 30, b / 10): (a + b) / 40 for a in range(31) for b in range(11)}
    fitting = [r for r, accuracy in recalls.items() if accuracy == pytest.approx(row["accuracy"])]
    assert any((a + b) / 2 == pytest.approx(row["balanced_accuracy"]) for a, b in fitting)
    assert row["balanced_accuracy"] != pytest.approx(row["accuracy"])


def test_separable_classes_are_told_apart_and_shuffled_labels_are_not() -> None:
    (easy,) = run_trials(data(noise=0.1), config=ProbeConfig(shots=(10,), trials=3))
    assert easy["accuracy"] == 1
    assert easy["near_chance"] is False
    shuffled = data(noise=0.1)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        shuffled.labels[split][:] = rng.permutation(shuffled.labels[split])
    (row,) = run_trials(shuffled, config=ProbeConfig(shots=(12,), trials=5))
    assert row["balanced_accuracy"] < 0.75


@pytest.fixture(scope="module")
def run(toy_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    settings = ("objective.bank_size=16", "epochs=1", "data.batch_size=12")
    pretrain(open_store(str(toy_store)), config=make_fit_config(overrides=settings), out=out)
    return out / BEST


@pytest.mark.parametrize(
    ("untrained", "asked", "used"),
    [
        (False, "auto", "multimodal"),
        (True, "auto", "backbone"),
        (False, "unimodal", "unimodal"),
        (True, "multimodal", "multimodal"),
    ],
)
def test_features_are_those_of_the_representation(
    toy_store: Path, run: Path, untrained: bool, asked: str, used: Any
) -> None:
    store = open_store(str(toy_store))
    pretrained = read_pretrained(run, untrained=untrained)
    config = ProbeConfig.model_validate({"representation": asked, "shots": [2], "trials": 1})
    got = probe_data(pretrained, store, config=config)
    assert got.classes == ("cook", "dance")
    rows = store.rows(splits=("test",))
    wanted = embed_rows(pretrained.objective, store, rows).get(used)
    np.testing.assert_allclose(got.features["test"], wanted.numpy(), rtol=1e-6)
    assert got.labels["test"].tolist() == [0] * 6 + [1] * 6
    report = probe(pretrained, store, config=config)
    assert report["representation"] == used
    assert report["encoder"] == ("untrained" if untrained else "pretrained")
    assert report["train_windows"] == {"cook": 12, "dance": 12}


def test_repeated_windows_and_unlabelled_rows_are_left_out(
    tmp_path: Path, store_writer: Callable[..., str], run: Path
) -> None:
    def edit(rows: dict[str, Any]) -> None:
        for field in ("start_ns", "end_ns"):
            rows["rows"][1][field] = rows["rows"][0][field]
        rows["rows"][2]["label"] = None

    store_writer(tmp_path, takes=("train-0", "train-1", "test-0", "test-1"), change=edit)
    got = probe_data(read_pretrained(run), open_store(str(tmp_path)), config=ProbeConfig())
    assert np.bincount(got.labels["train"]).tolist() == [4, 6]
    assert len(got.labels["val"]) == 0


def test_progress_counts_every_window_and_trial(toy_store: Path, run: Path) -> None:
    told: list[tuple[str, int, int]] = []
    config = ProbeConfig(shots=(1, 2), trials=2)
    probe(
        read_pretrained(run),
        open_store(str(toy_store)),
        config=config,
        on_progress=lambda *a: told.append(a),
    )
    assert told == [
        ("window", 24, 48),
        ("window", 36, 48),
        ("window", 48, 48),
        *(("trial", i, 4) for i in range(1, 5)),
    ]


def test_one_class_or_an_unlabelled_split_is_refused(toy_store: Path, run: Path) -> None:
    store = open_store(str(toy_store))
    pretrained = read_pretrained(run)
    with pytest.raises(UsageError, match=r"at least two labels, got cook"):
        probe_data(pretrained, store, config=ProbeConfig(classes=("cook",)))
    with pytest.raises(UsageError, match=r"split test must hold labelled windows"):
        probe_data(pretrained, store, config=ProbeConfig(classes=("swim", "run")))
