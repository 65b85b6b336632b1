"""The grid of a few-shot probe: all shots and trials solved together, against one after the other.

Both choose each problem's strength on validation and classify the test windows. The baseline
solves problem by problem with scipy's L-BFGS-B, each strength from the stronger one's optimum, in
the span of the samples too. Six numbers of shots, five trials, six strengths and eight classes
over 50,000 rows of 512 floats are the size of the paper's Fig. 4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from side_by_side import Case, make_parser, measure_cpu, ratios, report

from primus_train.probes.config import ProbeConfig
from primus_train.probes.labelled import Labelled, ProbeData
from primus_train.probes.linear import fit_heads, select_heads
from primus_train.probes.shots import draw_shots

__all__ = ["main"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CLASSES: Final = 8
GRADIENT: Final = 1e-6
"""Largest component at convergence, of both ways."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What a way says: the chosen strengths' losses and the test accuracy of each problem."""

    losses: Floats
    accuracies: Floats


def make_data(*, rows: int, width: int) -> ProbeData:
    """Return correlated features of overlapping classes: 60 % train, a fifth val and test each."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, rows)
    centres = 0.2 * rng.normal(size=(CLASSES, width))
    # Directions of very different size, as those of an encoder are.
    mixing = rng.normal(size=(width, width)) / np.arange(1, width + 1)[:, None]
    features = ((centres[labels] + rng.normal(size=(rows, width))) @ mixing).astype(np.float32)
    ends = {"train": (0, 3 * rows // 5), "val": (3 * rows // 5, 4 * rows // 5)}
    ends["test"] = (4 * rows // 5, rows)
    return ProbeData(
        labelled=Labelled(
            classes=tuple(f"class {k}" for k in range(CLASSES)),
            rows={name: np.arange(*end) for name, end in ends.items()},
            labels={name: labels[slice(*end)] for name, end in ends.items()},
            takes=np.zeros(ends["train"][1], dtype=np.int64),
        ),
        features={name: features[slice(*end)] for name, end in ends.items()},
    )


def _standard(x: Floats) -> tuple[Floats, Floats, Floats]:
    mean, scale = x.mean(axis=0), x.std(axis=0)
    return (x - mean) / scale, mean, scale


def loss_of(flat: Floats, inputs: Floats, one_hot: Floats, strength: float) -> tuple[float, Floats]:
    """Return mean cross-entropy + strength / 2 * |W|^2 and its gradient; the bias is free."""
    width = inputs.shape[1]
    weight = flat[: width * CLASSES].reshape(width, CLASSES)
    logits = inputs @ weight + flat[width * CLASSES :]
    logits -= logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits)
    sums = exponentials.sum(axis=1, keepdims=True)
    entropy = float((np.log(sums[:, 0]) - (logits * one_hot).sum(axis=1)).mean())
    residual = (exponentials / sums - one_hot) / len(inputs)
    gradient = np.concatenate(
        [(inputs.T @ residual + strength * weight).ravel(), residual.sum(axis=0)]
    )
    return entropy + strength / 2 * float((weight * weight).sum()), gradient


def solve_alone(data: ProbeData, places: Ints, *, config: ProbeConfig) -> tuple[float, float]:
    """Return loss and test accuracy of one problem's head, its strength chosen on validation."""
    labels = data.labelled.labels
    standard, mean, scale = _standard(data.features["train"][places].astype(np.float64))
    inputs, basis = standard, np.eye(standard.shape[1])
    if len(standard) < standard.shape[1]:
        left, sizes, basis = np.linalg.svd(standard, full_matrices=False)
        inputs = left * sizes
    one_hot = np.eye(CLASSES)[labels["train"][places]]
    start = np.zeros((inputs.shape[1] + 1) * CLASSES)
    best = (-1.0, 0.0, start)
    ready = {name: (data.features[name] - mean) / scale for name in ("val", "test")}

    def accuracy(flat: Floats, split: str) -> float:
        weight = basis.T @ flat[:-CLASSES].reshape(-1, CLASSES)
        said = (ready[split] @ weight + flat[-CLASSES:]).argmax(axis=1)
        return float((said == labels[split]).mean())

    for strength in sorted(config.strengths, reverse=True):
        found = minimize(
            loss_of,
            start,
            args=(inputs, one_hot, strength),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 5000, "maxfun": 10000, "gtol": GRADIENT, "ftol": 0, "maxcor": 20},
        )
        start = found.x
        right = accuracy(start, "val")
        if right > best[0]:
            best = (right, float(found.fun), start)
    return best[1], accuracy(best[2], "test")


def solve_together(data: ProbeData, places: Ints, *, config: ProbeConfig) -> tuple[Floats, Floats]:
    """Return losses (T,) and test accuracies (T,) of the problems that share their shots."""
    labels = data.labelled.labels
    heads = fit_heads(
        data.features["train"][places],
        labels["train"][places],
        classes=CLASSES,
        strengths=config.strengths,
    )
    heads = select_heads(heads, data.features["val"], labels["val"], sets=len(places))
    accuracies = (heads.predict(data.features["test"]) == labels["test"]).mean(axis=1)
    losses = []
    for trial, chosen in enumerate(places):
        standard, mean, scale = _standard(data.features["train"][chosen].astype(np.float64))
        weight = heads.weight[trial] * scale
        bias = heads.bias[trial] + heads.weight[trial] @ mean
        flat = np.concatenate([weight.T.ravel(), bias])
        one_hot = np.eye(CLASSES)[labels["train"][chosen]]
        losses.append(loss_of(flat, standard, one_hot, float(heads.strength[trial]))[0])
    return np.array(losses), accuracies


def compare(*, rows: int, width: int, config: ProbeConfig, repeats: int) -> Case:
    """Time both ways over the whole grid and compare their optima."""
    data = make_data(rows=rows, width=width)
    train = data.labelled.labels["train"]
    grid = [
        np.stack(
            [
                draw_shots(
                    train, data.labelled.takes, classes=CLASSES, shots=k, by="segment", seed=trial
                )
                for trial in range(config.trials)
            ]
        )
        for k in config.shots
    ]

    def ours() -> Answer:
        solved = [solve_together(data, places, config=config) for places in grid]
        return Answer(
            losses=np.concatenate([losses for losses, _ in solved]),
            accuracies=np.concatenate([right for _, right in solved]),
        )

    def one_by_one() -> Answer:
        solved = [
            solve_alone(data, places, config=config) for problems in grid for places in problems
        ]
        return Answer(
            losses=np.array([loss for loss, _ in solved]),
            accuracies=np.array([right for _, right in solved]),
        )

    ways: dict[str, Callable[[], Answer]] = {"ours": ours, "one_by_one": one_by_one}
    measured = measure_cpu(ways, repeats=repeats, per=1000.0, rehearse=False)
    first, second = (measured.answers[way] for way in ("ours", "one_by_one"))
    # Where both chose the same strength the optima are of the same problem.
    off = np.abs(first.losses - second.losses)
    return Case(
        name=f"{len(config.shots)} shots x {config.trials} trials x {CLASSES} classes, "
        f"{rows} rows of {width}",
        unit="s",
        runs=measured.wall,
        cpu=measured.cpu,
        agreement={
            "problems": float(len(off)),
            "share_of_equal_optima_to_1e_5": float((off <= 1e-5).mean()),
            "largest_difference_of_accuracies": float(
                np.abs(first.accuracies - second.accuracies).max()
            ),
            "mean_accuracy": float(first.accuracies.mean()),
            **ratios(measured, way="one_by_one", over="ours"),
        },
    )


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Compare the ways and report."""
    parser = make_parser(__doc__, repeats=3)
    options = parser.parse_args(argv)
    quick = options.quick
    config = ProbeConfig(shots=(1, 3) if quick else (1, 5, 10, 50, 100, 500), trials=5)
    rows, width = (400, 12) if quick else (50_000, 512)
    case = compare(rows=rows, width=width, config=config, repeats=1 if quick else options.repeats)
    settings = {"config": config.model_dump(mode="json"), "rows": rows, "width": width}
    return report("probe_grid", cases=[case], quick=quick, settings=settings)


if __name__ == "__main__":
    main()
