"""Few-shot probes of an encoder: from a version's windows to a table of trials."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from primus_train.data.store import StoreData
from primus_train.encoders.stacked_rnn import Representation
from primus_train.probes.config import ProbeConfig
from primus_train.probes.finetune import fit_finetune
from primus_train.probes.labelled import Fit, Labelled, ProbeData, Trial, find_labelled
from primus_train.probes.logistic import fit_logistic
from primus_train.probes.nearest import fit_nearest
from primus_train.probes.published import fit_published
from primus_train.probes.recipe import published_epochs
from primus_train.probes.shots import draw_shots
from primus_train.probes.table import PROBE_SCHEMA, make_row
from primus_train.representation import Pretrained, embed_rows
from primus_train.seeds import derive_seed
from schemas.errors import UsageError

__all__ = [
    "PROBE_SCHEMA",
    "ProbeConfig",
    "Prompts",
    "make_fit",
    "probe",
    "probe_data",
    "run_trials",
]

Ints = npt.NDArray[np.int64]
Prompts = Mapping[str, npt.NDArray[np.floating]]
"""Class: the averaged embedding (Dt,) of its prompts, from the encoder of the store's sentences."""


def _representation(pretrained: Pretrained, config: ProbeConfig) -> Representation:
    if config.representation != "auto":
        return config.representation
    if pretrained.untrained:
        return "backbone"
    return pretrained.objective.representation


def _reads_prompts(pretrained: Pretrained, config: ProbeConfig) -> bool:
    """Whether the encoder's embedding lies where its prompts' embeddings do."""
    return (
        config.protocol in {"published", "finetune"}
        and not pretrained.untrained
        and "text" in pretrained.objective.aligned_with
        and _representation(pretrained, config) == "multimodal"
    )


def _stack_prompts(
    pretrained: Pretrained, prompts: Prompts | None, *, data: Labelled, config: ProbeConfig
) -> npt.NDArray[np.floating] | None:
    """Return the prompts' embeddings (K, Dt) in the classes' order, if the head can use them."""
    if prompts is None or not _reads_prompts(pretrained, config):
        return None
    absent = [name for name in data.classes if name not in prompts]
    if absent:
        raise UsageError(
            f"prompts must embed every class, none for {', '.join(absent)}: add them, or leave "
            "these classes out"
        )
    stacked = np.stack([prompts[name] for name in data.classes])
    width = pretrained.meta["widths"]["text"]
    if stacked.shape[1] != width:
        raise UsageError(
            f"prompts must be embedded as the store's sentences are, in {width} numbers, got "
            f"{stacked.shape[1]}"
        )
    return stacked


def probe_data(
    pretrained: Pretrained,
    store: StoreData,
    *,
    config: ProbeConfig,
    prompts: Prompts | None = None,
    on_rows: Callable[[int, int], None] | None = None,
) -> ProbeData:
    """Encode each distinct labelled window of train, val and the evaluated splits once.

    Args:
        pretrained: the encoder.
        store: the version.
        config: the protocol.
        prompts: embeddings of the classes' prompts. Features then lie in their space, if the
            protocol can use them and the encoder was aligned with text; else they are unused.
        on_rows: called with windows done and their number.

    Raises:
        UsageError: if fewer than two classes are there, an evaluated split has no labels, or the
            prompts lack a class.
    """
    pretrained.check_fits(store)
    data = find_labelled(store, config=config)
    stacked = _stack_prompts(pretrained, prompts, data=data, config=config)
    total = sum(map(len, data.rows.values()))
    features: dict[str, npt.NDArray[np.floating]] = {}
    before = 0
    for split, chosen in data.rows.items():

        def report(done: int, *, before: int = before) -> None:
            if on_rows is not None:
                on_rows(before + done, total)

        embedded = embed_rows(pretrained.objective, store, chosen, on_rows=report)
        values = embedded.get(_representation(pretrained, config))
        if stacked is not None:
            values = pretrained.objective.project(values, name="text").detach()
        features[split] = values.float().cpu().numpy()
        before += len(chosen)
    return ProbeData(labelled=data, features=features, prompts=stacked)


def make_fit(data: ProbeData, *, config: ProbeConfig, epochs: int = 20) -> Fit:
    """Return what fits trials on features, by the config's protocol.

    Args:
        data: the features.
        config: the protocol: ``logistic``, ``published`` or ``knn``.
        epochs: of the published protocol where the config does not say.

    Raises:
        ValueError: if the protocol is no classifier of features.
    """

    def fit(places: Ints, seeds: Sequence[int]) -> Iterator[Trial]:
        if config.protocol == "published":
            return fit_published(data, places, seeds, config=config, epochs=config.epochs or epochs)
        fit_features = {"logistic": fit_logistic, "knn": fit_nearest}[config.protocol]
        return fit_features(data, places, config=config)

    if config.protocol == "finetune":
        raise ValueError("protocol finetune trains on windows, not on features")
    return fit


def _finetune(
    pretrained: Pretrained,
    store: StoreData,
    *,
    data: Labelled,
    config: ProbeConfig,
    prompts: npt.NDArray[np.floating] | None,
    epochs: int,
) -> Fit:
    def fit(places: Ints, seeds: Sequence[int]) -> Iterator[Trial]:
        return fit_finetune(
            pretrained.objective,
            store,
            places,
            seeds,
            data=data,
            config=config,
            epochs=config.epochs or epochs,
            representation=_representation(pretrained, config),
            prompts=prompts,
        )

    return fit


def run_trials(
    data: Labelled,
    *,
    config: ProbeConfig,
    fit: Fit,
    on_trial: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Return one row of `PROBE_SCHEMA` for each number of shots and evaluated split.

    A class with fewer than k train windows makes the point n/a: samples are never repeated.

    Args:
        data: the labelled windows.
        config: shots and trials.
        fit: the protocol (`make_fit`).
        on_trial: called with trials done and their number.
    """
    table: list[dict[str, Any]] = []
    train, classes = data.labels["train"], len(data.classes)
    count = np.bincount(train, minlength=classes)
    strength_from = "none"
    if config.protocol == "logistic":
        strength_from = "validation" if len(data.labels["val"]) else "fixed"
    seeds = [derive_seed(config.seed, "head", trial) for trial in range(config.trials)]
    for done, shots in enumerate(config.shots):
        short = [
            f"{name} ({have})"
            for name, have in zip(data.classes, count, strict=True)
            if have < shots
        ]
        trials: list[Trial] = []
        takes: list[int] = []
        if not short:
            places = np.stack(
                [
                    draw_shots(
                        train,
                        data.takes,
                        classes=classes,
                        shots=shots,
                        by=config.shots_by,
                        seed=derive_seed(config.seed, "shots", trial),
                    )
                    for trial in range(config.trials)
                ]
            )
            takes = [len(np.unique(data.takes[chosen])) for chosen in places]
            for trial in fit(places, seeds):
                trials.append(trial)
                if on_trial is not None:
                    on_trial(done * config.trials + len(trials), len(config.shots) * config.trials)
        table += [
            make_row(
                trials,
                labels=data.labels[split],
                classes=classes,
                split=split,
                shots=shots,
                shot_takes=takes,
                protocol=config.protocol,
                shots_by=config.shots_by,
                strength_from=strength_from,
                reason=f"fewer than {shots} train windows: {', '.join(short)}" if short else None,
            )
            for split in config.eval_splits
        ]
    return table


def probe(
    pretrained: Pretrained,
    store: StoreData,
    *,
    config: ProbeConfig,
    prompts: Prompts | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Return the report of a probe: what was probed, how, and the table.

    Args:
        pretrained: the encoder.
        store: the version in memory.
        config: the protocol.
        prompts: class: averaged embedding (Dt,) of its prompts. The heads of ``published`` and
            ``finetune`` start there where the encoder was aligned with text, else at random;
            ``head`` in the report says which.
        on_progress: called with what is counted (``window`` or ``trial``), done and total.

    Raises:
        UsageError: as `probe_data`.
    """

    def tell(unit: str) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            if on_progress is not None:
                on_progress(unit, done, total)

        return report

    epochs = published_epochs(store.manifest.dataset)
    if config.protocol == "finetune":
        pretrained.check_fits(store)
        data = find_labelled(store, config=config)
        stacked = _stack_prompts(pretrained, prompts, data=data, config=config)
        fit = _finetune(pretrained, store, data=data, config=config, prompts=stacked, epochs=epochs)
    else:
        features = probe_data(
            pretrained, store, config=config, prompts=prompts, on_rows=tell("window")
        )
        data, stacked = features.labelled, features.prompts
        fit = make_fit(features, config=config, epochs=epochs)
    table = run_trials(data, config=config, fit=fit, on_trial=tell("trial"))
    heads = {"logistic": "optimum", "knn": "none"}
    return {
        "encoder": "untrained" if pretrained.untrained else "pretrained",
        "objective": pretrained.config.objective.name,
        "permute_video": pretrained.config.data.permute_video,
        "pretrained_on": pretrained.origin(),
        "checkpoint_sha256": pretrained.sha256,
        "version": store.version,
        "protocol": config.protocol,
        "representation": _representation(pretrained, config),
        "head": heads.get(config.protocol, "random" if stacked is None else "prompts"),
        "classes": list(data.classes),
        "train_windows": {
            name: int((data.labels["train"] == i).sum()) for i, name in enumerate(data.classes)
        },
        "config": config.model_dump(mode="json"),
        "rows": table,
    }
