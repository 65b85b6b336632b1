"""The Prefect flow of a run, and its tasks. Imports prefect: only runs on Prefect come here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed

from flows.dask_watch import DaskWatch
from flows.tasks import run_batch

__all__ = ["make_store_flow", "submit_batches", "submit_to_dask"]

Drive = Callable[[dict[str, Any]], dict[str, Any]]
Outcomes = list[dict[str, Any]]

# Prefect sends the flow's function along with each task. What the function closed over would go
# with it, a whole dataset's narrations a task: so that it closes over nothing.
_DRIVE: ContextVar[Drive] = ContextVar("drive")


def prepare_store(config_json: dict[str, Any]) -> dict[str, Any]:
    """Do what the driver of this run has to do; the flow's function."""
    return _DRIVE.get()(config_json)


@contextmanager
def make_store_flow(drive: Drive, *, task_runner: Any) -> Iterator[Drive]:  # noqa: ANN401 - generic
    """Yield the flow that calls ``drive`` with the config, its tasks on ``task_runner``."""
    token = _DRIVE.set(drive)
    try:
        yield flow(
            name="prepare-store",
            persist_result=False,
            validate_parameters=False,
            task_runner=task_runner,
        )(prepare_store)
    finally:
        _DRIVE.reset(token)


def submit_batches(
    config: dict[str, Any],
    batches: Sequence[list[str]],
    *,
    encoder: dict[str, Any] | None,
    run: str,
) -> Iterator[Outcomes]:
    """Submit one task a batch and yield what each gives, first come first served.

    Args:
        config: of the run.
        batches: take_uids.
        encoder: spec of the driver's encoder; None without one.
        run: names the run.
    """
    batch_task = _batch_task()
    futures = [batch_task.submit(config, batch, encoder, run) for batch in batches]
    for future in as_completed(futures):
        yield future.result()


def submit_to_dask(
    config: dict[str, Any],
    batches: Sequence[list[str]],
    *,
    encoder: dict[str, Any] | None,
    run: str,
    watch: DaskWatch,
    give_up: Callable[[str], dict[str, Any]],
) -> Iterator[Outcomes]:
    """Do the same on Dask, where workers may die of a take.

    A batch whose workers died, one after the other, is not blamed as it stands: Dask suspects
    every task that a dead worker held. Its takes are tried once more at the end, each alone, so
    that one which kills its workers again is the one that does.

    Args:
        config: of the run.
        batches: take_uids.
        encoder: spec of the driver's encoder; None without one.
        run: names the run.
        watch: over the cluster.
        give_up: makes the outcome of a take that kills its workers.

    Raises:
        PrimusError: if no worker comes back, or the scheduler is gone.
    """
    from distributed import KilledWorker

    batch_task = _batch_task()

    def submit(batch: list[str]) -> Any:  # noqa: ANN401 - dask.distributed has no types
        return batch_task.submit(config, batch, encoder, run).wrapped_future

    batch_of = {submit(batch): batch for batch in batches}
    suspects: list[str] = []
    for future in watch.as_done(list(batch_of)):
        try:
            state = watch.result(future)
        except KilledWorker:
            suspects.extend(batch_of[future])
        else:
            yield state.result()
    for take_uid in sorted(suspects):
        try:
            state = watch.result(submit([take_uid]))
        except KilledWorker:
            yield [give_up(take_uid)]
        else:
            yield state.result()


def _batch_task() -> Any:  # noqa: ANN401 - a task's type says what it takes, not that it is one
    return task(name="take-batch", cache_policy=NO_CACHE, persist_result=False)(run_batch)
