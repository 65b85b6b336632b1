from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from primus_train.config import make_fit_config
from primus_train.data.store import open_store
from primus_train.loop import BEST, pretrain
from primus_train.probes.fewshot import (
    PROBE_SCHEMA,
    ProbeConfig,
    make_fit,
    probe,
    probe_data,
    run_trials,
)
from primus_train.probes.labelled import Labelled, ProbeData
from primus_train.representation import embed_rows, read_pretrained
from schemas.errors import UsageError


def data(*, noise: float = 1.0, val: int = 30, per_class: tuple[int, ...] = (20, 12)) -> ProbeData:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(per_class), 6))

    def made(counts: tuple[int, ...]) -> tuple[Any, Any]:
        labels = np.repeat(np.arange(len(counts)), counts)
        return centres[labels] + noise * rng.normal(size=(len(labels), 6)), labels

    parts = {"train": made(per_class), "val": made((val, val)), "test": made((30, 10))}
    labelled = Labelled(
        classes=("a", "b"),
        rows={name: np.arange(len(y)) for name, (_, y) in parts.items()},
        labels={name: y for name, (_, y) in parts.items()},
        takes=np.arange(sum(per_class)) // 4,
    )
    return ProbeData(labelled=labelled, features={name: x for name, (x, _) in parts.items()})


def tried(probed: ProbeData, *, config: ProbeConfig) -> list[dict[str, Any]]:
    return run_trials(probed.labelled, config=config, fit=make_fit(probed, config=config))


def test_mean_and_standard_error_are_those_of_the_trials() -> None:
    (row,) = tried(data(), config=ProbeConfig(shots=(3,), trials=6))
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
    (row,) = tried(data(), config=ProbeConfig(shots=(3,), trials=1))
    assert row["accuracy"] == row["accuracies"][0]
    assert row["accuracy_se"] is None


def test_a_class_with_too_few_windows_makes_the_point_na_and_is_named() -> None:
    rows = tried(data(), config=ProbeConfig(shots=(12, 13, 21), trials=2))
    assert [row["accuracy"] is None for row in rows] == [False, True, True]
    assert [row["trials"] for row in rows] == [2, 0, 0]
    assert rows[1]["reason"] == "fewer than 13 train windows: b (12)"
    assert rows[2]["reason"] == "fewer than 21 train windows: a (20), b (12)"
    table = pa.Table.from_pylist(rows, schema=PROBE_SCHEMA)
    assert table["accuracy"].null_count == 2


def test_without_validation_labels_the_strength_is_the_fixed_one() -> None:
    config = ProbeConfig(shots=(3,), trials=2, fixed_strength=0.7)
    (row,) = tried(data(val=0), config=config)
    assert (row["strength_from"], row["strength"]) == ("fixed", 0.7)


def test_the_seed_draws_the_shots_and_more_shots_contain_fewer() -> None:
    rows = [
        tried(data(), config=ProbeConfig(shots=(3,), trials=4, seed=seed))[0]["accuracies"]
        for seed in (0, 0, 1)
    ]
    assert rows[0] == rows[1] != rows[2]


def test_a_collapsed_encoder_is_flagged_though_the_majority_makes_it_look_good() -> None:
    collapsed = data()
    for features in collapsed.features.values():
        features[:] = 1.0
    (row,) = tried(collapsed, config=ProbeConfig(shots=(5,), trials=1))
    # One class for all: of 30 and 10 windows either 75 % or 25 %, and always half a recall each.
    assert row["accuracy"] in {0.75, 0.25}
    assert row["balanced_accuracy"] == 0.5
    assert row["near_chance"] is True


def test_scores_follow_from_the_confusion_of_all_trials() -> None:
    (row,) = tried(data(noise=2), config=ProbeConfig(shots=(5,), trials=3))
    (a, b), (c, d) = row["confusion"]
    assert (a + b, c + d) == (3 * 30, 3 * 10)
    assert row["accuracy"] == pytest.approx((a + d) / 120)
    assert row["balanced_accuracy"] == pytest.approx((a / 90 + d / 30) / 2)
    assert row["balanced_accuracy"] == pytest.approx(np.mean(row["balanced_accuracies"]))
    assert row["macro_f1"] == pytest.approx(np.mean(row["macro_f1s"]))
    assert row["macro_f1_se"] == pytest.approx(np.std(row["macro_f1s"], ddof=1) / 3**0.5)
    (one,) = tried(data(noise=2), config=ProbeConfig(shots=(5,), trials=1))
    (a, b), (c, d) = one["confusion"]
    f1s = (2 * a / (2 * a + b + c), 2 * d / (2 * d + b + c))
    assert one["macro_f1s"] == [pytest.approx(sum(f1s) / 2)]


@pytest.mark.parametrize(("by", "takes"), [("segment", {2, 3, 4, 5, 6}), ("take", {6})])
def test_shots_by_take_lie_in_more_takes(by: Any, takes: set[int]) -> None:
    # Takes of four windows, five of class a and three of class b.
    config = ProbeConfig(shots=(3,), trials=6, shots_by=by)
    (row,) = tried(data(), config=config)
    assert row["shots_by"] == by
    assert set(row["shot_takes"]) <= takes
    assert min(row["shot_takes"]) < 6 or by == "take"


@pytest.mark.parametrize("protocol", ["published", "knn"])
def test_other_protocols_fill_the_same_table(protocol: Any) -> None:
    config = ProbeConfig(
        protocol=protocol, shots=(1, 5, 13), trials=3, learning_rate=0.05, epochs=40
    )
    rows = tried(data(noise=0.3), config=config)
    table = pa.Table.from_pylist(rows, schema=PROBE_SCHEMA)
    assert table["protocol"].to_pylist() == [protocol] * 3
    assert table["strength_from"].to_pylist() == ["none"] * 3
    assert table["strength"].null_count == 3
    assert rows[1]["accuracy"] > 0.9
    assert rows[2]["confusion"] is None
    assert rows[2]["shot_takes"] == []


def test_finetuning_is_not_for_features() -> None:
    with pytest.raises(ValueError, match="finetune trains on windows, not on features"):
        make_fit(data(), config=ProbeConfig(protocol="finetune"))


def test_separable_classes_are_told_apart_and_shuffled_labels_are_not() -> None:
    (easy,) = tried(data(noise=0.1), config=ProbeConfig(shots=(10,), trials=3))
    assert easy["accuracy"] == 1
    assert easy["near_chance"] is False
    shuffled = data(noise=0.1)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        labels = shuffled.labelled.labels[split]
        labels[:] = rng.permutation(labels)
    (row,) = tried(shuffled, config=ProbeConfig(shots=(12,), trials=5))
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
    assert got.labelled.classes == ("cook", "dance")
    rows = store.rows(splits=("test",))
    wanted = embed_rows(pretrained.objective, store, rows).get(used)
    np.testing.assert_allclose(got.features["test"], wanted.numpy(), rtol=1e-6)
    assert got.labelled.labels["test"].tolist() == [0] * 6 + [1] * 6
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
    assert np.bincount(got.labelled.labels["train"]).tolist() == [4, 6]
    assert len(got.labelled.labels["val"]) == 0


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


def test_windows_know_their_takes(toy_store: Path, run: Path) -> None:
    got = probe_data(read_pretrained(run), open_store(str(toy_store)), config=ProbeConfig())
    assert got.labelled.takes.tolist() == [take for take in range(4) for _ in range(6)]


PROMPTS = {"cook": np.eye(8)[0], "dance": np.eye(8)[1], "swim": np.eye(8)[2]}


def test_a_head_begins_at_the_prompts_of_an_encoder_aligned_with_text(
    toy_store: Path, run: Path
) -> None:
    store = open_store(str(toy_store))
    pretrained = read_pretrained(run)
    config = ProbeConfig(protocol="published", shots=(2,), trials=1, learning_rate=1e-12)
    report = probe(pretrained, store, config=config, prompts=PROMPTS)
    assert (report["head"], report["representation"]) == ("prompts", "multimodal")
    rows = store.rows(splits=("test",))
    multimodal = embed_rows(pretrained.objective, store, rows).multimodal
    with torch.no_grad():
        said = pretrained.objective.project(multimodal, name="text")[:, :2].argmax(dim=1)
    right = float((said.numpy() == np.repeat([0, 1], 6)).mean())
    assert report["rows"][0]["accuracy"] == pytest.approx(right)
    for settings in ({"protocol": "logistic"}, {"representation": "backbone"}):
        other = config.model_copy(update=settings)
        assert probe(pretrained, store, config=other, prompts=PROMPTS)["head"] != "prompts"
    untrained = read_pretrained(run, untrained=True)
    assert probe(untrained, store, config=config, prompts=PROMPTS)["head"] == "random"


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({"cook": np.eye(8)[0]}, "must embed every class, none for dance"),
        ({name: np.ones(9) for name in ("cook", "dance")}, "in 8 numbers, got 9"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(
    toy_store: Path, run: Path, prompts: Any, message: str
) -> None:
    config = ProbeConfig(protocol="published")
    with pytest.raises(UsageError, match=message):
        probe(read_pretrained(run), open_store(str(toy_store)), config=config, prompts=prompts)
