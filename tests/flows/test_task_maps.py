"""Jobs on threads or Dask: each once, results in their order, a failing one ends the rest."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from flows.dask_watch import DaskWatch
from flows.task_maps import map_on_dask, map_on_threads
from pipelines.stores.task_map import TaskMap


def square(job: dict[str, Any]) -> dict[str, Any]:
    time.sleep(job.get("s", 0.0))
    if job["n"] < 0:
        raise ValueError(f"n must not be negative, got {job['n']}")
    return {"n": job["n"] ** 2}


@contextmanager
def on_threads() -> Iterator[TaskMap]:
    yield map_on_threads(2)


@contextmanager
def on_dask() -> Iterator[TaskMap]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield map_on_dask(
            client, workers=2, watch=DaskWatch(client, address="inproc", timeout_s=60)
        )


@pytest.fixture(params=[on_threads, on_dask])
def run_tasks(request: pytest.FixtureRequest) -> Iterator[TaskMap]:
    opened: Callable[[], Any] = request.param
    with opened() as run:
        yield run


def test_results_come_in_order_however_long_jobs_take(run_tasks: TaskMap) -> None:
    # The first is the slowest; equal jobs run as often as they are asked for.
    jobs = [{"n": n % 5, "s": 0.05 if n == 0 else 0.0} for n in range(20)]
    assert list(run_tasks(square, jobs)) == [{"n": (n % 5) ** 2} for n in range(20)]
    assert list(run_tasks(square, [])) == []


def test_what_a_job_raises_is_raised(run_tasks: TaskMap) -> None:
    results = iter(run_tasks(square, [{"n": n} for n in (2, -3, 4)]))
    assert next(results) == {"n": 4}
    with pytest.raises(ValueError, match="n must not be negative, got -3"):
        list(results)


def test_a_bounded_number_is_under_way_and_a_failure_starts_no_more() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def count(job: dict[str, Any]) -> dict[str, Any]:
        begun.append(job["n"])
        go_on.wait(5)
        return square(job)

    asked: list[int] = []

    class Jobs(list[dict[str, Any]]):
        def __iter__(self) -> Iterator[dict[str, Any]]:
            for n in range(100):
                asked.append(n)
                yield {"n": n if n else -1}

    go_on.set()
    with pytest.raises(ValueError, match="got -1"):
        list(map_on_threads(2)(count, Jobs()))
    # Eight of a hundred were asked for; none after the one that failed was told.
    assert len(asked) == 8
    assert set(begun) <= {-1, *range(1, 8)}
