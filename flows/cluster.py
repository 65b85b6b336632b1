"""The Dask cluster of a run: started while the driver reads, its workers warm before the work."""

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

from flows.dask_watch import DaskWatch
from flows.slurm import check_slurm, start_slurm_cluster
from pipelines.config import ExecutionConfig
from schemas.errors import PrimusError, UsageError

__all__ = ["DaskCluster", "check_dask", "dask_report", "host_for_workers", "job_environment"]

_LOG: Final = logging.getLogger(__name__)
LOOPBACK: Final = "127.0.0.1"
# Dask's own lets memory go back to the system after every picture (MALLOC_TRIM_THRESHOLD_): to
# have it back page by page, decoding and encoding took half as long again as outside of Dask.
_WORKER_ENVIRONMENT: Final = "distributed.nanny.pre-spawn-environ"
_WORKER_THREADS: Final = {"OMP_NUM_THREADS": 1}
_PROFILE: Final = "distributed.worker.profile.enabled"
# A worker that died is given up for good if it is not back within this: 15 s by Dask, which a busy
# machine spends on its imports.
_LOST_AFTER: Final = "distributed.deploy.lost-worker-timeout"
_START_ATTEMPTS: Final = 3
# What a worker holds is in use and cannot be spilled; one that Dask pauses would stay so for ever.
# Above its limit (95 %) it is ended and started anew, its take told.
_NEVER_PAUSED: Final = {
    f"distributed.worker.memory.{what}": False for what in ("target", "spill", "pause")
}
# Takes last seconds and more: Dask's looks at itself many times a second, in the driver and in
# every worker, serve nothing here and cost two workers on two cores a thirtieth of them.
_SELDOM: Final = {
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "500ms",
}


class DaskCluster:
    """A cluster that is on its way from construction on; a context manager that stops it.

    The one at ``execution.dask_address`` is connected to and left alone. Without an address
    ``execution.workers`` workers of one thread are started: processes of this machine, threads of
    this process (``execution.dask_processes=false``), or jobs of SLURM
    (``execution.cluster=slurm``).

    Args:
        execution: of the run.
    """

    def __init__(self, execution: ExecutionConfig) -> None:
        # Imported by the thread that is about to import much else: two threads in the middle of
        # one circle of imports can see each other's half-made modules.
        import dask
        import distributed

        # Kept as long as the cluster: Dask looks it up when a worker is lost.
        self._settings = dask.config.set({_LOST_AFTER: f"{execution.worker_timeout_s:g} s"})
        # It logs each attempt to reach a scheduler that is gone, with its trace; we say it once.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        # Of its health pages, which nobody is told of: any port will do.
        warnings.filterwarnings("ignore", message="Port 8787 is already in use")
        self._distributed: Any = distributed
        self._execution = execution
        self._abandoned = False
        self._cluster: Any = None
        self._client: Any = None
        self._watch: DaskWatch | None = None
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
            self._settings.__exit__(None, None, None)

    def wait(self, config: dict[str, Any]) -> Any:  # noqa: ANN401 - dask.distributed has no types
        """Return the cluster's client once every worker has imported and opened what it needs.

        Workers that come later do so with their first take.

        Args:
            config: of the run as JSON values; workers open its encoder before the first take.

        Raises:
            UsageError: if a worker cannot open the encoder.
            PrimusError: if there is no scheduler or no worker, or workers lack this program.
        """
        from flows.tasks import warm_worker

        self._started.result()
        watch = self.watch
        watch.wait_for_a_worker()
        try:
            for future in watch.as_done(self._on_each_worker(warm_worker, config)):
                watch.result(future)
        except ImportError as error:
            raise PrimusError(
                f"Dask workers must have this program and its packages installed, got: {error}"
            ) from error
        except self._distributed.KilledWorker as error:
            raise PrimusError(
                "Dask workers must be able to open the encoder, they died of it: give each more "
                "memory (execution.memory_limit, slurm.memory) or start fewer"
            ) from error
        return self._client

    @property
    def watch(self) -> DaskWatch:
        """Gives results of this cluster's futures; to be asked for when it has started."""
        if self._watch is None:
            self._watch = DaskWatch(
                self._client, address=self.address, timeout_s=self._execution.worker_timeout_s
            )
        return self._watch

    @property
    def address(self) -> str:
        """Where the scheduler listens; to be asked for after ``wait``."""
        own = self._cluster.scheduler_address if self._cluster is not None else None
        return own or self._execution.dask_address or ""

    @property
    def workers(self) -> int:
        """Tasks that run side by side; to be asked for after ``wait``."""
        threads = self.watch.threads()
        # Jobs that still wait in a queue will want their share.
        expected = self._execution.workers if self._execution.cluster == "slurm" else 1
        return max(expected, sum(threads.values()))

    def _start(self) -> None:
        address = self._execution.dask_address
        if self._execution.cluster == "slurm":
            self._cluster = start_slurm_cluster(
                self._execution, environment=job_environment(profiled=self._profiled)
            )
        elif address is None:
            self._cluster = self._start_here()
        try:
            self._client = self._distributed.Client(self._cluster or address, set_as_default=False)
        except (OSError, ValueError) as error:
            raise PrimusError(
                f"execution.dask_address must be of a scheduler that answers, got {address}: start "
                "one with `dask scheduler` and workers with `dask worker`"
            ) from error
        if not self._abandoned:
            # Workers begin with their imports at once. Named, so that they are made over there
            # alone, and not waited for.
            self._warming = [
                future
                for module in ("flows.tasks", "prefect.task_engine")
                for future in self._on_each_worker(importlib.import_module, module)
            ]

    def _start_here(self) -> Any:  # noqa: ANN401 - dask.distributed has no types
        import dask

        options: dict[str, Any] = {"processes": False, "memory_limit": None}
        if self._execution.dask_processes:
            limit = self._execution.memory_limit or "auto"
            options = {"processes": True, "host": LOOPBACK, "memory_limit": limit}
        settings = {
            _WORKER_ENVIRONMENT: _WORKER_THREADS,
            _PROFILE: self._profiled,
            **_NEVER_PAUSED,
            **_SELDOM,
        }
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                with dask.config.set(settings):
                    return self._distributed.LocalCluster(
                        n_workers=self._execution.workers,
                        threads_per_worker=1,
                        dashboard_address=None,
                        **options,
                    )
            except RuntimeError as error:
                # One worker that dies while all of them start takes the whole cluster with it.
                if attempt == _START_ATTEMPTS or self._abandoned:
                    raise PrimusError(
                        f"Dask workers must start, got {error} {attempt} times: give each more "
                        "memory (execution.memory_limit) or start fewer (execution.workers)"
                    ) from error
                _LOG.warning("a worker died while it started, again: %s", error)
        raise AssertionError("attempts must be positive")

    @property
    def _profiled(self) -> bool:
        # Looks at every stack a hundred times a second; only the report shows what it saw.
        return self._execution.dask_report is not None

    def _on_each_worker(self, function: Callable[..., object], *arguments: Any) -> list[Any]:  # noqa: ANN401
        # Idle workers are given one each. Not told which is whose: what is meant for a worker that
        # dies before waits for ever, also where others are allowed to do it.
        return [self._client.submit(function, *arguments, pure=False) for _ in self.watch.threads()]


def job_environment(*, profiled: bool) -> dict[str, str]:
    """Return the settings of workers started elsewhere, as the variables that Dask reads.

    Args:
        profiled: whether Dask's own report will be drawn.
    """
    settings = {
        # None takes away what Dask itself would set.
        _WORKER_ENVIRONMENT: {"MALLOC_TRIM_THRESHOLD_": None, **_WORKER_THREADS},
        _PROFILE: profiled,
        **_NEVER_PAUSED,
        **_SELDOM,
    }
    return {
        "DASK_" + name.upper().replace(".", "__").replace("-", "_"): str(value)
        for name, value in settings.items()
    }


def check_dask(execution: ExecutionConfig) -> None:
    """Refuse what could not be started, or a report that could not be drawn at the end.

    Raises:
        UsageError: if a package or program is missing.
    """
    if execution.dask_report is not None and importlib.util.find_spec("bokeh") is None:
        raise UsageError("execution.dask_report needs the package bokeh: pip install bokeh")
    if execution.cluster == "slurm":
        check_slurm()


def host_for_workers(execution: ExecutionConfig) -> str:
    """Return the address of this machine at which the run's workers find what it serves.

    Raises:
        UsageError: if ``slurm.interface`` is none of this machine's.
    """
    remote = execution.cluster == "slurm" or execution.dask_address is not None
    if execution.executor != "dask" or not remote:
        return LOOPBACK
    from distributed.utils import get_ip, get_ip_interface

    interface = execution.slurm.interface
    try:
        if execution.cluster == "slurm":
            found: str = get_ip_interface(interface) if interface is not None else get_ip()
        else:
            found = get_ip(urlsplit(execution.dask_address or "").hostname or LOOPBACK)
    except ValueError as error:
        raise UsageError(
            f"execution.slurm.interface must be a network interface of this machine: {error}"
        ) from error
    return found


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
