"""The Prefect flow of a run, and its tasks. Imports prefect: only runs on Prefect come here."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed

from flows.tasks import run_batch

__all__ = ["make_store_flow", "submit_batches"]

Drive = Callable[[dict[str, Any]], dict[str, Any]]

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
) -> Iterator[list[dict[str, Any]]]:
    """Submit one task a batch and yield what each gives, first come first served.

    Args:
        config: of the run.
        batches: take_uids.
        encoder: spec of the driver's encoder; None without one.
        run: names the run.
    """
    batch_task = task(name="take-batch", cache_policy=NO_CACHE, persist_result=False)(run_batch)
    futures = [batch_task.submit(config, batch, encoder, run) for batch in batches]
    for future in as_completed(futures):
        yield future.result()
