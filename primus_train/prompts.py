"""Where the embedding of a class comes from: prompts, or the narrations of its train segments.

Prompts tell a class in words alone. Narrations of labelled segments are what the class looks like
in this version: a classifier made of them has seen labels, and its results say so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError

from primus_train.data.store import StoreData
from primus_train.directions import show
from primus_train.files import file_sha256
from primus_train.probes.fewshot import Prompts
from primus_train.representation import Pretrained
from schemas.errors import StoreNotFoundError, UsageError
from schemas.prompts import PromptSet

__all__ = [
    "ClassPrompts",
    "average_narrations",
    "average_prompts",
    "class_prompts",
    "file_prompts",
    "read_prompts",
]

_BLOCK: Final = 4096
"""Sentences read at a time."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClassPrompts:
    """A direction for each class, in the space of the sentences.

    Attributes:
        embeddings: class: (Dt,) of unit norm.
        origin: where they come from, as JSON: ``kind`` (prompts or narrations), ``seen_labels``
            (whether labelled segments were used), and how many sentences of each class.
    """

    embeddings: dict[str, Vector]
    origin: dict[str, Any]


def read_prompts(file: Path) -> PromptSet:
    """Return the prompts in a file of ``primus-prep embed-prompts``.

    Raises:
        StoreNotFoundError: if there is none.
        UsageError: if it is no such file.
    """
    if not file.is_file():
        raise StoreNotFoundError(f"prompts must be a file, none found [file={file}]")
    try:
        return PromptSet.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"prompts must be as primus-prep embed-prompts writes them, "
            f"{where + ': ' if where else ''}{first['msg']} [file={file}]"
        ) from error


def _direction(total: Vector, *, label: str) -> Vector:
    norm = float(np.linalg.norm(total))
    if norm == 0:
        raise UsageError(f"sentences of class {label!r} must not cancel out, their average is zero")
    unit: Vector = total / norm
    return unit


def average_prompts(prompts: PromptSet) -> Prompts:
    """Return the direction (Dt,) of each class: the average of its prompts' unit vectors."""
    found: dict[str, Vector] = {}
    for label in prompts.labels:
        vectors = np.array([one.embedding for one in prompts.of(label)], dtype=np.float64)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        found[label] = _direction(vectors.sum(axis=0), label=label)
    return found


def average_narrations(
    store: StoreData, *, classes: Sequence[str]
) -> tuple[Prompts, dict[str, int]]:
    """Return the direction (Dt,) of each class in split train, and of how many segments it is.

    A sentence counts as often as it was said. A class without any is in neither.
    """
    rows = show(store, store.rows(splits=("train",)), names=("text",))
    labels = store.column("label")[rows]
    found: dict[str, Vector] = {}
    counts: dict[str, int] = {}
    for label in classes:
        chosen = rows[labels == label]
        total = np.zeros(store.text.shape[1])
        for start in range(0, len(chosen), _BLOCK):
            index = torch.from_numpy(chosen[start : start + _BLOCK])
            total += store.text[index].double().sum(dim=0).numpy()
        if len(chosen):
            counts[label] = len(chosen)
            found[label] = _direction(total, label=label)
    return found, counts


def class_prompts(
    pretrained: Pretrained, store: StoreData, *, classes: Sequence[str], file: Path | None = None
) -> ClassPrompts:
    """Return the direction of each of ``classes`` in the space of the pretraining's sentences.

    Args:
        pretrained: an encoder that was aligned with text.
        store: the version whose train narrations stand for the classes where there is no file.
        classes: what to tell apart.
        file: of ``primus-prep embed-prompts``.

    Raises:
        UsageError: if the sentences are another encoder's, or a class has none.
    """
    if file is not None:
        embeddings, origin = _from_file(pretrained, file)
        way_out, place = "embed some with primus-prep embed-prompts", f"file={file}"
    else:
        embeddings, origin = _from_narrations(pretrained, store, classes=classes)
        way_out, place = "give --prompts FILE", f"version={store.version}"
    absent = [name for name in classes if name not in embeddings]
    if absent:
        raise UsageError(
            f"every class must have sentences, none for {', '.join(absent)}: {way_out}, or leave "
            f"these classes out with --classes [{place}]"
        )
    sentences = {name: origin["sentences"][name] for name in classes}
    return ClassPrompts(
        embeddings={name: np.asarray(embeddings[name], np.float64) for name in classes},
        origin={**origin, "sentences": sentences},
    )


def file_prompts(pretrained: Pretrained, file: Path) -> Prompts:
    """Return the direction (Dt,) of each class in a file, where a probe's head may start.

    Raises:
        UsageError: if the sentences are another encoder's than those of the pretraining.
    """
    return _from_file(pretrained, file)[0]


def _from_file(pretrained: Pretrained, file: Path) -> tuple[Prompts, dict[str, Any]]:
    prompts = read_prompts(file)
    _check_width(pretrained, prompts.encoder.text_dim, place=f"file={file}")
    pretrained.check_embedded(prompts.encoder, what="prompts", place=f"file={file}")
    return average_prompts(prompts), {
        "kind": "prompts",
        "seen_labels": False,
        "file": file.name,
        "sha256": file_sha256(file),
        "encoder": prompts.encoder.model_dump(mode="json"),
        "sentences": {name: len(tuple(prompts.of(name))) for name in prompts.labels},
    }


def _from_narrations(
    pretrained: Pretrained, store: StoreData, *, classes: Sequence[str]
) -> tuple[Prompts, dict[str, Any]]:
    place = f"version={store.version}"
    spec = store.manifest.encoder
    if spec is None:
        raise UsageError(
            f"a version of IMU alone has no narrations to stand for classes: give --prompts FILE "
            f"[{place}]"
        )
    _check_width(pretrained, spec.text_dim, place=place)
    pretrained.check_embedded(spec, what="narrations", place=place)
    embeddings, counts = average_narrations(store, classes=classes)
    return embeddings, {
        "kind": "narrations",
        "seen_labels": True,
        "split": "train",
        "encoder": spec.model_dump(mode="json"),
        "sentences": counts,
    }


def _check_width(pretrained: Pretrained, width: int, *, place: str) -> None:
    trained = pretrained.meta["widths"]["text"]
    if width != trained:
        raise UsageError(
            f"sentences must be embedded in {trained} numbers as in pretraining, got {width} "
            f"[{place}]"
        )
