"""The Dask cluster of a run: started while the driver reads, its workers warm before the work."""

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from pipelines.config import ExecutionConfig
from schemas.errors import UsageError

__all__ = ["DaskCluster", "check_report", "dask_report"]

# Dask's own lets memory go back to the system after every picture (MALLOC_TRIM_THRESHOLD_): to
# have it back page by page, decoding and encoding took half as long again as outside of Dask.
_WORKER_ENVIRONMENT: Final = "distributed.nanny.pre-spawn-environ"


class DaskCluster:
    """A cluster that is on its way from construction on; a context manager that stops it.

    The one at ``execution.dask_address`` is connected to and left alone; without an address
    ``execution.workers`` processes of one thread are started here.

    Args:
        execution: of the run.
    """

    def __init__(self, execution: ExecutionConfig) -> None:
        # Imported by the thread that is about to import much else: two threads in the middle of
        # one circle of imports can see each other's half-made modules.
        import distributed

        self._distributed: Any = distributed
        self._execution = execution
        self._abandoned = False
        self._cluster: Any = None
        self._client: Any = None
        self._warming: list[Any] = []
        # Starting processes is waiting: this thread lets the driver import and read meanwhile.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dask-start")
        self._started: Future[None] = self._starter.submit(self._start)

    def __enter__(self) -> "DaskCluster":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._abandoned = True
        self._starter.shutdown(wait=True)
        try:
            if self._client is not None:
                self._client.close()
        finally:
            if self._cluster is not None:
                self._cluster.close()

    def wait(self, config: dict[str, Any]) -> Any:  # noqa: ANN401 - dask.distributed has no types
        """Return the cluster's client once every worker has imported and opened what it needs.

        Args:
            config: of the run as JSON values; workers open its encoder before the first take.

        Raises:
            UsageError: if a worker cannot open the encoder.
        """
        from flows.tasks import warm_worker

        self._started.result()
        self._client.gather(self._on_each_worker(warm_worker, config))
        return self._client

    @property
    def address(self) -> str:
        """Where the scheduler listens; to be asked for after ``wait``."""
        address: str = self._client.scheduler.address
        return address

    @property
    def workers(self) -> int:
        """Tasks that run side by side; to be asked for after ``wait``."""
        threads: dict[str, int] = self._client.nthreads()
        return max(1, sum(threads.values()))

    def _start(self) -> None:
        if self._execution.dask_address is None:
            import dask

            with dask.config.set(self._worker_settings()):
                self._cluster = self._distributed.LocalCluster(
                    n_workers=self._execution.workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    host="127.0.0.1",
                )
        where = self._cluster or self._execution.dask_address
        self._client = self._distributed.Client(where, set_as_default=False)
        if not self._abandoned:
            # Workers begin with their imports at once. Named, so that they are made over there
            # alone, and not waited for.
            self._warming = [
                future
                for module in ("flows.tasks", "prefect.task_engine")
                for future in self._on_each_worker(importlib.import_module, module)
            ]

    def _worker_settings(self) -> dict[str, Any]:
        return {
            _WORKER_ENVIRONMENT: {"OMP_NUM_THREADS": 1},
            # Looks at every stack a hundred times a second; only the report shows what it saw.
            "distributed.worker.profile.enabled": self._execution.dask_report is not None,
        }

    def _on_each_worker(self, function: Callable[..., object], *arguments: Any) -> list[Any]:  # noqa: ANN401
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return [
            self._client.submit(function, *arguments, workers=[worker], pure=False)
            for worker in workers
        ]


def check_report(path: Path | None) -> None:
    """Refuse a report that could not be drawn at the end.

    Raises:
        UsageError: if Dask lacks the package that draws it.
    """
    if path is not None and importlib.util.find_spec("bokeh") is None:
        raise UsageError("execution.dask_report needs the package bokeh: pip install bokeh")


@contextmanager
def dask_report(client: Any, path: Path | None) -> Iterator[None]:  # noqa: ANN401 - no types
    """Write Dask's own performance report of what ``client`` ran meanwhile; None writes none."""
    if path is None:
        yield
        return
    from distributed import Client, performance_report

    path.parent.mkdir(parents=True, exist_ok=True)
    with Client.as_current(client), performance_report(filename=str(path)):
        yield
