"""The labelled windows of a probe, their features, and what a trial says of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from primus_train.data.gallery import distinct_windows
from primus_train.data.store import StoreData
from primus_train.probes.config import ProbeConfig
from schemas.errors import UsageError
from schemas.segment import SPLITS

__all__ = ["Fit", "Labelled", "ProbeData", "Trial", "find_labelled"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """Distinct labelled windows.

    Attributes:
        classes: K labels in alphabetical order.
        rows: split: (n,) rows of the store.
        labels: split: (n,) class of each.
        takes: (n,) number of the take of each train window.
    """

    classes: tuple[str, ...]
    rows: dict[str, Ints]
    labels: dict[str, Ints]
    takes: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProbeData:
    """Features of labelled windows.

    Attributes:
        labelled: the windows.
        features: split: (n, D), of any float type.
        prompts: (K, D) embedding of each class's prompts in the features' space, where there are.
    """

    labelled: Labelled
    features: dict[str, npt.NDArray[np.floating]]
    prompts: npt.NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """One trial's classifier, as far as results tell of it.

    Attributes:
        predicted: split: (n,) class given to each window.
        strength: the penalty chosen, where the protocol has one.
        converged: whether its fit came to an end by itself.
    """

    predicted: dict[str, Ints]
    strength: float | None = None
    converged: bool = True


Fit = Callable[[Ints, Sequence[int]], Iterator[Trial]]
"""What a protocol does: from places (T, n) of shots in split train and a seed a trial, T trials."""


def _rows_of(
    store: StoreData, *, split: str, classes: Sequence[str] | None
) -> npt.NDArray[np.int64]:
    labels = store.column("label")
    rows = distinct_windows(store, store.rows(splits=(split,)))
    wanted = [
        labels[row] is not None and (classes is None or labels[row] in classes) for row in rows
    ]
    return rows[np.array(wanted, dtype=np.bool_)]


def find_labelled(store: StoreData, *, config: ProbeConfig) -> Labelled:
    """Return the distinct labelled windows of train, val and the evaluated splits.

    Raises:
        UsageError: if fewer than two classes are there, or an evaluated split has no labels.
    """
    splits = [s for s in SPLITS if s in {"train", "val", *config.eval_splits}]
    rows: dict[str, Ints] = {s: _rows_of(store, split=s, classes=config.classes) for s in splits}
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
    number = {name: i for i, name in enumerate(classes)}
    _, takes = np.unique(store.column("take_uid")[rows["train"]].astype(str), return_inverse=True)
    return Labelled(
        classes=classes,
        rows=rows,
        labels={
            split: np.array([number[labels[row]] for row in chosen], dtype=np.int64)
            for split, chosen in rows.items()
        },
        takes=takes.astype(np.int64),
    )
