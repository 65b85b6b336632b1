"""One take opened and planned, by a run and by what prices one alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from pipelines.align.clock import TakeClock
from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue, DatasetReader
from pipelines.datasets.mirror import held_files
from pipelines.outcome import TakeOutcome, fault_of, quarantined
from pipelines.segments.policies import TakePlan, plan_segments
from pipelines.source_faults import raise_machine_fault, read_with_retries, told_fault
from pipelines.state.stopping import StoppedError
from pipelines.take_parts import source_paths
from pipelines.text.clean import clean_text
from schemas.errors import StorageError, TakeError, UsageError
from schemas.narration import Narration
from schemas.take import Take

__all__ = ["PlannedTake", "clean_narrations", "with_planned_take"]

_Result = TypeVar("_Result")
_ENDS_THE_RUN: Final = (UsageError, StorageError, StoppedError)


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
    wait: Callable[[float], None] = time.sleep,
) -> _Result | TakeOutcome:
    """Open and plan a take, and return what ``do`` makes of it.

    Whatever is wrong with the take's data, also in what ``do`` sees of them, is returned as the
    outcome of a quarantined take: one bad take never costs the night. A disk or a share that does
    not answer is asked again, later each time, before the take is given up; what cannot be written
    ends the run.

    Args:
        take: of the catalogue.
        catalogue: of the take's dataset.
        reader: of the take's dataset.
        config: of the run.
        do: called with the planned take; more than once where files could not be read.
        wait: for so many seconds, before the files are read again.

    Raises:
        UsageError: if the config cannot work.
        StorageError: if there is no room or no permission where parts go.
        StoppedError: if the run was told to stop.
    """
    narrations = clean_narrations(catalogue.narrations.get(take.take_uid, ()), config=config)
    # Under stride narrations plan nothing, and without a clock nothing else does.
    planned = 0 if config.segments.policy == "stride" else len(narrations)
    fault = catalogue.faults.get(take.take_uid)

    def prepare() -> _Result:
        nonlocal planned
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

    root = config.dataset.root
    if fault is None:
        try:
            # What is fetched from an object store for the take goes with it.
            with held_files(root):
                return read_with_retries(
                    prepare, what=f"take {take.take_uid}", wait=wait, passes=_ENDS_THE_RUN
                )
        except _ENDS_THE_RUN:
            raise
        except Exception as error:
            raise_machine_fault(error, place=config.parts_root)
            unread = told_fault(error, files=[root / path for path in source_paths(take)])
            # Else what nobody foresaw: the record says what happened and where.
            fault = unread or (error if isinstance(error, TakeError) else fault_of(error))
    else:
        fault = told_fault(fault, files=()) or fault
    return quarantined(
        fault,
        take_uid=take.take_uid,
        take_name=take.take_name,
        segments=planned,
        root=root,
    )
