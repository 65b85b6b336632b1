"""Rates a person gives by hand, for a machine that is not at hand."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from pipelines.pricing.rates import FIXED, ITEM_OF, Line, Rates
from schemas.errors import UsageError

__all__ = ["lay_over", "parse_rates", "read_rates"]

_STORAGE: Final = "storage"
_PER_SECOND: Final = (*ITEM_OF, _STORAGE)


def read_rates(words: Sequence[str]) -> dict[str, float]:
    """Return the rates that ``--rates`` words give: a YAML file or ``NAME=VALUE`` each.

    Raises:
        UsageError: if a word is neither, or as ``parse_rates``.
    """
    given: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            given[name] = value
            continue
        try:
            read = yaml.safe_load(Path(word).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"--rates takes NAME=VALUE or a YAML file, got {word!r}") from error
        except yaml.YAMLError as error:
            raise UsageError(f"rates file must be YAML, got {word}: {error}") from error
        if not isinstance(read, dict):
            raise UsageError(f"rates file must map names to values, got {word}")
        given.update({str(name): value for name, value in read.items()})
    return parse_rates(given)


def parse_rates(given: Mapping[str, object]) -> dict[str, float]:
    """Return hand-given rates as numbers.

    Raises:
        UsageError: if a name is unknown or a value is not a positive number.
    """
    parsed: dict[str, float] = {}
    for name, value in given.items():
        if name.partition(":")[0] not in _PER_SECOND and name not in FIXED:
            known = ", ".join((*_PER_SECOND, *FIXED))
            raise UsageError(f"rates must name one of {known}, got {name!r}")
        try:
            number = float(value) if isinstance(value, str | int | float) else math.nan
        except ValueError:
            number = math.nan
        smallest = 0.0 if name in FIXED else math.ulp(0.0)
        if not math.isfinite(number) or number < smallest:
            unit = "seconds, 0 or more" if name in FIXED else "items a second, above 0"
            raise UsageError(f"rate {name} must be {unit}, got {value!r}")
        parsed[name] = number
    return parsed


def lay_over(rates: Rates, given: Mapping[str, float]) -> Rates:
    """Return ``rates`` with those given by hand in place of their own.

    A stage's rate is items a second of one worker, without a constant by take; ``storage`` is the
    bytes a second that all workers share; ``start`` and ``task`` are seconds.
    """
    stages, fixed = dict(rates.stages), dict(rates.fixed)
    storage = rates.storage_bytes_s
    for name, value in given.items():
        if name in FIXED:
            fixed[name] = value
        elif name == _STORAGE:
            storage = value
        else:
            if ":" not in name:
                # For every picture, those measured one by one too.
                stages = {k: v for k, v in stages.items() if k.partition(":")[0] != name}
            stages[name] = Line(per_item=1 / value)
    update = {
        "stages": stages,
        "fixed": fixed,
        "storage_bytes_s": storage,
        "by_hand": tuple(sorted({*rates.by_hand, *given})),
    }
    return rates.model_copy(update=update)
