"""One take opened and planned, by a run and by what prices one alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pipelines.align.clock import TakeClock
from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue, DatasetReader
from pipelines.outcome import TakeOutcome, fault_of, quarantined
from pipelines.segments.policies import TakePlan, plan_segments
from pipelines.text.clean import clean_text
from schemas.errors import TakeError, UsageError
from schemas.narration import Narration
from schemas.take import Take

__all__ = ["PlannedTake", "clean_narrations", "with_planned_take"]

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTake:
    """A take whose clock is read and whose segments are planned."""

    take: Take
    clock: TakeClock
    plan: TakePlan
    narrations: tuple[Narration, ...]
    """Of this take, cleaned."""


def clean_narrations(
    narrations: Sequence[Narration], *, config: PrepConfig
) -> tuple[Narration, ...]:
    """Return the narrations with their cleaned sentences filled in."""
    rule = config.text.cleaning
    return tuple(replace(n, text=clean_text(n.text_raw, rule=rule)) for n in narrations)


def with_planned_take(
    take: Take,
    *,
    catalogue: Catalogue,
    reader: DatasetReader,
    config: PrepConfig,
    do: Callable[[PlannedTake], _Result],
) -> _Result | TakeOutcome:
    """Open and plan a take, and return what ``do`` makes of it.

    Whatever is wrong with the take's data, also in what ``do`` sees of them, is returned as the
    outcome of a quarantined take: one bad take never costs the night.

    Args:
        take: of the catalogue.
        catalogue: of the take's dataset.
        reader: of the take's dataset.
        config: of the run.
        do: called with the planned take.

    Raises:
        UsageError: if the config cannot work.
    """
    narrations = clean_narrations(catalogue.narrations.get(take.take_uid, ()), config=config)
    # Under stride narrations plan nothing, and without a clock nothing else does.
    planned = 0 if config.segments.policy == "stride" else len(narrations)
    fault = catalogue.faults.get(take.take_uid)
    if fault is None:
        try:
            clock = reader.read_clock(take)
            plan = plan_segments(
                take,
                narrations=narrations,
                span=clock.span,
                clock_uncertainty_ns=clock.uncertainty_ns,
                config=config.segments,
                text=config.text,
            )
            planned = plan.planned
            return do(PlannedTake(take=take, clock=clock, plan=plan, narrations=narrations))
        except TakeError as error:
            fault = error
        except UsageError:
            raise
        except Exception as error:
            # Nobody foresaw it; the record says what happened and where.
            fault = fault_of(error)
    return quarantined(
        fault,
        take_uid=take.take_uid,
        take_name=take.take_name,
        segments=planned,
        root=config.dataset.root,
    )
