"""What the studies compare: a method is the config fields that make it one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from primus_train.config import OBJECTIVES, FitConfig, TransformName, make_fit_config
from primus_train.objectives.multitask import TASKS
from schemas.errors import UsageError

__all__ = [
    "BASELINES",
    "DEFAULT_PAIR",
    "SHARED_METHODS",
    "SUBSETS",
    "Method",
    "make_method_config",
    "pair_methods",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One line of a figure.

    Attributes:
        name: in tables.
        title: in figures.
        fields: dotted field of `FitConfig`: value; what the method is.
        untrained: its encoder is not pretrained but trained with the head, on the shots alone; the
            run that ``fields`` names only tells what encoder it is, and every store can have it.
    """

    name: str
    title: str
    fields: Mapping[str, Any] = field(repr=False)
    untrained: bool = False


def _contrastive(terms: Sequence[str]) -> dict[str, Any]:
    return {"objective.kind": "contrastive", "objective.terms": tuple(terms)}


_PRIMUS: Final = Method(
    name="primus", title="PRIMUS", fields=_contrastive(OBJECTIVES["primus"]["terms"])
)
_IMU2CLIP: Final = Method(
    name="imu2clip", title="IMU2CLIP", fields=_contrastive(OBJECTIVES["imu2clip"]["terms"])
)
_SIMCLR: Final = Method(
    name="simclr", title="SimCLR", fields=_contrastive(OBJECTIVES["simclr"]["terms"])
)

BASELINES: Final[tuple[Method, ...]] = (
    _PRIMUS,
    _IMU2CLIP,
    _SIMCLR,
    Method(name="multitask", title="MultitaskSSL", fields={"objective.kind": "multitask"}),
    Method(name="standard", title="Standard training", fields=_SIMCLR.fields, untrained=True),
)
"""The five methods of Fig. 4 (Das et al. 2025)."""

SHARED_METHODS: Final[tuple[Method, ...]] = (_PRIMUS, _IMU2CLIP)
"""The two methods of Fig. 6."""

_TERMS: Final = ("ss", "mm", "nn")
SUBSETS: Final[tuple[Method, ...]] = tuple(
    Method(
        name="+".join(terms),
        title="+".join(terms).upper() + (" (PRIMUS)" if len(terms) == len(_TERMS) else ""),
        fields=_contrastive(terms),
    )
    for count in range(len(_TERMS), 0, -1)
    for terms in combinations(_TERMS, count)
)
"""The seven subsets of Fig. 5, the whole objective first."""

DEFAULT_PAIR: Final[tuple[TransformName, TransformName]] = ("scaling", "time_reversal")
"""The pair that the paper chose."""


def pair_methods() -> tuple[Method, ...]:
    """Return SimCLR under every pair of two of the eight transformations, 28 methods."""
    return tuple(
        Method(
            name=f"{first}+{second}",
            title=f"{first.replace('_', ' ')} + {second.replace('_', ' ')}",
            fields={**_contrastive(("ss",)), "view.transforms": (first, second)},
        )
        for first, second in combinations(TASKS, 2)
    )


def make_method_config(
    method: Method, *, file: Path | None = None, overrides: Sequence[str] = ()
) -> FitConfig:
    """Return the config of a method's run: defaults, then ``file``, the method, ``overrides``.

    Raises:
        UsageError: if a field is unknown or out of its range, or ``overrides`` set one that makes
            the method what it is.
    """
    config = make_fit_config(file=file, flags=method.fields, overrides=overrides)
    values = config.model_dump()
    for name, value in method.fields.items():
        found = reduce(lambda inner, part: inner[part], name.split("."), values)
        if found != value:
            raise UsageError(
                f"--set {name} must stay what the study makes it, {_said(value)} for "
                f"{method.title}, got {_said(found)}: leave it out"
            )
    return config


def _said(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
