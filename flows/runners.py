"""Executors: the same batches inline, on Prefect's threads, or on Dask workers."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pipelines.config import ExecutionConfig

__all__ = ["make_task_runner", "prefect_server", "quiet_environment", "split_batches"]

_QUIET = {
    # Nothing of this may reach for the internet or fill the terminal.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_CLI_PROMPT": "false",
    "DO_NOT_TRACK": "1",
    "DASK_LOGGING__DISTRIBUTED": "error",
}
_SERVER_START_S = 120
_DRAIN_S = 20


def quiet_environment() -> None:
    """Set what keeps Prefect and Dask quiet and offline; a user's own setting stands."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


@contextmanager
def prefect_server() -> Iterator[str]:
    """Yield the URL of the run's one Prefect API.

    The one named by ``PREFECT_API_URL``, else a server of our own on a loopback port, stopped at
    the end. The URL is exported, so that worker processes share it instead of starting their own.
    """
    if url := os.environ.get("PREFECT_API_URL"):
        yield url
        return
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL, temporary_settings

    server = SubprocessASGIServer()
    server.start(timeout=_SERVER_START_S)
    os.environ["PREFECT_API_URL"] = server.api_url
    try:
        with temporary_settings({PREFECT_API_URL: server.api_url}):
            yield server.api_url
    finally:
        _drain_prefect()
        del os.environ["PREFECT_API_URL"]
        server.stop()


def _drain_prefect() -> None:
    # Events and logs are sent by threads of their own; left with a queue, they would go on trying
    # to reach a server that is gone, and keep the process from ending.
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for service in (EventsWorker, APILogWorker):
        waiting: Any = service.drain_all(timeout=_DRAIN_S)
        del waiting


def make_task_runner(execution: ExecutionConfig) -> Any:  # noqa: ANN401 - Prefect's own generic
    """Return the Prefect task runner that ``execution`` asks for."""
    if execution.executor == "dask":
        from prefect_dask import DaskTaskRunner

        if execution.dask_address is not None:
            return DaskTaskRunner(address=execution.dask_address)
        return DaskTaskRunner(
            cluster_kwargs={
                "n_workers": execution.workers,
                "threads_per_worker": 1,
                "processes": True,
                "dashboard_address": None,
                "host": "127.0.0.1",
            }
        )
    from prefect.task_runners import ThreadPoolTaskRunner

    return ThreadPoolTaskRunner(max_workers=execution.workers)


def split_batches(take_uids: Sequence[str], *, size: int) -> list[list[str]]:
    """Return the uids in order, ``size`` to a batch."""
    return [list(take_uids[i : i + size]) for i in range(0, len(take_uids), size)]
