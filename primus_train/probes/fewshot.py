"""Few-shot linear probes of a frozen encoder: trials, shots, mean and standard error."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from primus_train.data.gallery import distinct_windows
from primus_train.data.store import StoreData
from primus_train.probes.linear import Floats, Ints, LinearHead, fit_heads, select_head
from primus_train.representation import Pretrained, embed_rows
from primus_train.seeds import derive_seed
from schemas.errors import UsageError
from schemas.segment import SPLITS

__all__ = ["PROBE_SCHEMA", "ProbeConfig", "ProbeData", "probe", "probe_data", "run_trials"]

NEAR_CHANCE: Final = 0.05
"""A balanced accuracy less than this above chance is flagged: the encoder may have collapsed.

Plain accuracy would hide it where classes are uneven: guessing the largest class looks good.
"""

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
        pa.field("strength_from", pa.string(), nullable=False),  # validation | fixed
        pa.field("accuracies", pa.list_(pa.float64()), nullable=False),  # one a trial
        pa.field("reason", pa.string()),  # why the point is n/a
    ]
)


class ProbeConfig(BaseModel):
    """What decides a probe's result, given encoder and store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Literal["logistic"] = "logistic"
    shots: tuple[int, ...] = Field(default=(1, 5, 10, 20), min_length=1, description="per class")
    trials: int = Field(default=5, ge=1, description="redraws of the shots")
    eval_splits: tuple[Literal["train", "val", "test"], ...] = Field(
        default=("test",), min_length=1
    )
    classes: tuple[str, ...] | None = Field(
        default=None, description="labels to tell apart; None for all that the splits hold"
    )
    representation: Literal["auto", "multimodal", "unimodal", "backbone"] = Field(
        default="auto",
        description="auto: multimodal where MM was a term of the pretraining, else backbone, as "
        "for an untrained encoder",
    )
    strengths: tuple[float, ...] = Field(
        default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
        min_length=1,
        description="lambdas to choose from on split val",
    )
    fixed_strength: float = Field(default=0.1, gt=0, description="lambda where val has no labels")
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProbeData:
    """Labelled features by split: ``features[split]`` (n, D) with ``labels[split]`` (n,)."""

    classes: tuple[str, ...]
    features: dict[str, Floats]
    labels: dict[str, Ints]


def _labelled(
    store: StoreData, *, split: str, classes: Sequence[str] | None
) -> npt.NDArray[np.int64]:
    labels = store.column("label")
    rows = distinct_windows(store, store.rows(splits=(split,)))
    wanted = [
        labels[row] is not None and (classes is None or labels[row] in classes) for row in rows
    ]
    return rows[np.array(wanted, dtype=np.bool_)]


def _representation(pretrained: Pretrained, config: ProbeConfig) -> Any:  # noqa: ANN401
    if config.representation != "auto":
        return config.representation
    if pretrained.untrained:
        return "backbone"
    return pretrained.objective.representation


def probe_data(
    pretrained: Pretrained,
    store: StoreData,
    *,
    config: ProbeConfig,
    on_rows: Callable[[int, int], None] | None = None,
) -> ProbeData:
    """Encode each distinct labelled window of train, val and the evaluated splits once.

    Raises:
        UsageError: if fewer than two classes are there, or an evaluated split has no labels.
    """
    pretrained.check_fits(store)
    splits = [s for s in SPLITS if s in {"train", "val", *config.eval_splits}]
    rows = {s: _labelled(store, split=s, classes=config.classes) for s in splits}
    labels = store.column("label")
    seen = {str(label) for chosen in rows.values() for label in labels[chosen]}
    classes = tuple(sorted(seen if config.classes is None else set(config.classes)))
    if len(classes) < 2:
        raise UsageError(
            f"probe needs at least two labels, got {', '.join(classes) or 'none'} "
            f"[version={store.version}]"
        )
    for split in config.eval_splits:
        if len(rows[split]) == 0:
            raise UsageError(
                f"split {split} must hold labelled windows, got none [version={store.version}]"
            )
    total = sum(map(len, rows.values()))
    number = {name: i for i, name in enumerate(classes)}
    features: dict[str, Floats] = {}
    numbered: dict[str, Ints] = {}
    before = 0
    for split, chosen in rows.items():

        def report(done: int, *, before: int = before) -> None:
            if on_rows is not None:
                on_rows(before + done, total)

        embedded = embed_rows(pretrained.objective, store, chosen, on_rows=report)
        values = embedded.get(_representation(pretrained, config))
        features[split] = values.double().cpu().numpy()
        numbered[split] = np.array([number[labels[row]] for row in chosen], dtype=np.int64)
        before += len(chosen)
    return ProbeData(classes=classes, features=features, labels=numbered)


def _draw_shots(labels: Ints, *, classes: int, shots: int, seed: int) -> Ints:
    """Return ``shots`` places of each class; more shots of one seed contain fewer."""
    generator = np.random.default_rng(seed)
    return np.concatenate(
        [generator.permutation(np.flatnonzero(labels == k))[:shots] for k in range(classes)]
    )


def _balanced(predicted: Ints, labels: Ints) -> float:
    present = np.unique(labels)
    return float(np.mean([(predicted[labels == k] == k).mean() for k in present]))


def _mean_and_se(values: Sequence[float]) -> tuple[float | None, float | None]:
    if not values:
        return None, None
    if len(values) == 1:
        return float(values[0]), None
    return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))


def _fit_trial(data: ProbeData, *, config: ProbeConfig, shots: int, trial: int) -> LinearHead:
    places = _draw_shots(
        data.labels["train"],
        classes=len(data.classes),
        shots=shots,
        seed=derive_seed(config.seed, "shots", trial),
    )
    tuned = len(data.labels["val"]) > 0
    heads = fit_heads(
        data.features["train"][places],
        data.labels["train"][places],
        classes=len(data.classes),
        strengths=config.strengths if tuned else (config.fixed_strength,),
    )
    return select_head(heads, data.features["val"], data.labels["val"]) if tuned else heads[0]


def run_trials(
    data: ProbeData,
    *,
    config: ProbeConfig,
    on_trial: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Return one row of `PROBE_SCHEMA` for each number of shots and evaluated split.

    A class with fewer than k train windows makes the point n/a: samples are never repeated.
    """
    table: list[dict[str, Any]] = []
    count = np.bincount(data.labels["train"], minlength=len(data.classes))
    for done, shots in enumerate(config.shots):
        short = [
            f"{name} ({have})"
            for name, have in zip(data.classes, count, strict=True)
            if have < shots
        ]
        heads: list[LinearHead] = []
        for trial in range(0 if short else config.trials):
            heads.append(_fit_trial(data, config=config, shots=shots, trial=trial))
            if on_trial is not None:
                on_trial(done * config.trials + trial + 1, len(config.shots) * config.trials)
        for split in config.eval_splits:
            labels = data.labels[split]
            predicted = [head.predict(data.features[split]) for head in heads]
            accuracies = [float((p == labels).mean()) for p in predicted]
            accuracy, accuracy_se = _mean_and_se(accuracies)
            balanced, balanced_se = _mean_and_se([_balanced(p, labels) for p in predicted])
            chance = 1 / len(data.classes)
            table.append(
                {
                    "split": split,
                    "shots": shots,
                    "trials": len(heads),
                    "n": len(labels),
                    "classes": len(data.classes),
                    "accuracy": accuracy,
                    "accuracy_se": accuracy_se,
                    "balanced_accuracy": balanced,
                    "balanced_accuracy_se": balanced_se,
                    "chance": chance,
                    "majority": float(np.bincount(labels).max() / len(labels)),
                    "near_chance": None if balanced is None else balanced - chance < NEAR_CHANCE,
                    "unconverged": sum(not head.converged for head in heads),
                    "strength": float(np.median([h.strength for h in heads])) if heads else None,
                    "strength_from": "validation" if len(data.labels["val"]) else "fixed",
                    "accuracies": accuracies,
                    "reason": f"fewer than {shots} train windows: {', '.join(short)}"
                    if short
                    else None,
                }
            )
    return table


def probe(
    pretrained: Pretrained,
    store: StoreData,
    *,
    config: ProbeConfig,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Return the report of a probe: what was probed, how, and the table.

    Args:
        pretrained: the encoder.
        store: the version in memory.
        config: the protocol.
        on_progress: called with what is counted (``window`` or ``trial``), done and total.
    """

    def tell(unit: str) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            if on_progress is not None:
                on_progress(unit, done, total)

        return report

    data = probe_data(pretrained, store, config=config, on_rows=tell("window"))
    table = run_trials(data, config=config, on_trial=tell("trial"))
    return {
        "encoder": "untrained" if pretrained.untrained else "pretrained",
        "objective": pretrained.config.objective.name,
        "permute_video": pretrained.config.data.permute_video,
        "pretrained_on": pretrained.origin(),
        "checkpoint_sha256": pretrained.sha256,
        "version": store.version,
        "representation": _representation(pretrained, config),
        "classes": list(data.classes),
        "train_windows": {
            name: int((data.labels["train"] == i).sum()) for i, name in enumerate(data.classes)
        },
        "config": config.model_dump(mode="json"),
        "rows": table,
    }
