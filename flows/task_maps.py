"""Who runs a version's publish jobs: threads or Dask workers; plain data in, plain data out.

Results come in the order of the jobs, and a bounded number of jobs is under way, so that a
version of any size costs the driver the same. Jobs of Dask go through its client alone: they are
seconds long, and a Prefect task run costs a quarter of one.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from flows.dask_watch import DaskWatch
from pipelines.stores.task_map import Job, TaskMap
from schemas.errors import PrimusError

__all__ = ["map_on_dask", "map_on_threads"]

# Jobs under way a worker: one at work, one waiting for it, two for a slow one at the head.
_AHEAD: Final = 4


def map_on_threads(workers: int) -> TaskMap:
    """Return a map that runs jobs on ``workers`` threads of this process."""

    def run(function: Callable[[Job], Job], jobs: Sequence[Job]) -> Iterator[Job]:
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="publish") as pool:
            waiting: deque[Future[Job]] = deque()
            try:
                for job in jobs:
                    waiting.append(pool.submit(function, job))
                    if len(waiting) >= workers * _AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    return run


def map_on_dask(client: Any, *, workers: int, watch: DaskWatch) -> TaskMap:  # noqa: ANN401 - no types
    """Return a map that runs jobs on the workers of ``client``'s cluster.

    Args:
        client: of the cluster.
        workers: side by side.
        watch: over the cluster.
    """
    from distributed import KilledWorker

    def result(future: Any) -> Job:  # noqa: ANN401 - dask has no types
        try:
            done: Job = watch.result(future)
        except KilledWorker as error:
            raise PrimusError(
                "publishing must not need more than a Dask worker has, each that was given one of "
                "its jobs died: raise execution.memory_limit (slurm.memory) or start fewer "
                "workers, and run again; finished takes are kept"
            ) from error
        return done

    def run(function: Callable[[Job], Job], jobs: Sequence[Job]) -> Iterator[Job]:
        waiting: deque[Any] = deque()
        try:
            for job in jobs:
                # Not pure: a job writes files, so that an equal one has to run again.
                waiting.append(client.submit(function, job, pure=False))
                if len(waiting) >= workers * _AHEAD:
                    yield result(waiting.popleft())
            while waiting:
                yield result(waiting.popleft())
        finally:
            if waiting and client.status == "running":
                client.cancel(list(waiting))

    return run
