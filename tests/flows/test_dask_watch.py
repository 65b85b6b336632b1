"""Dask waits for ever; the watch does not, and says who was waited for."""

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

from flows.cluster import DaskCluster
from flows.dask_watch import DaskWatch
from pipelines.config import ExecutionConfig
from schemas.errors import PrimusError
from tests.integration.dask_programs import start_dask

pytestmark = pytest.mark.slow


def slow_square(n: int) -> int:
    time.sleep(0.2 * n)
    return n * n


def fail(said: str) -> None:
    raise TimeoutError(said)


@pytest.fixture
def client() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as connected,
    ):
        yield connected


def test_results_come_first_come_first_served(client: Any) -> None:
    watch = DaskWatch(client, address=client.scheduler.address, timeout_s=60)
    watch.wait_for_a_worker()
    futures = [client.submit(slow_square, n, pure=False) for n in (8, 1, 0)]
    # Longer than one look at the scheduler takes.
    assert [watch.result(f) for f in watch.as_done(futures)][-1] == 64
    assert list(watch.as_done([])) == []


def test_a_tasks_own_time_out_is_no_reason_to_wait_on(client: Any) -> None:
    watch = DaskWatch(client, address=client.scheduler.address, timeout_s=60)
    with pytest.raises(TimeoutError, match="the camera did not answer"):
        watch.result(client.submit(fail, "the camera did not answer"))


def test_no_worker_for_too_long_is_said(client: Any) -> None:
    watch = DaskWatch(client, address=client.scheduler.address, timeout_s=0.5)
    watch.wait_for_a_worker()
    client.cluster.scale(0)
    future = client.submit(slow_square, 2, pure=False)
    began = time.monotonic()
    with pytest.raises(PrimusError, match=r"must have a worker, it had none for 0\.5 s \[inproc"):
        list(watch.as_done([future]))
    with pytest.raises(PrimusError, match=r"raise execution\.worker_timeout_s where jobs wait"):
        watch.result(future)
    assert time.monotonic() - began < 20


def test_a_scheduler_that_is_gone_is_said(tmp_path: Path) -> None:
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    with start_dask(tmp_path, workers=0) as programs:
        client = distributed.Client(programs.address, set_as_default=False)
        watch = DaskWatch(client, address=client.scheduler.address, timeout_s=60)
        future = client.submit(slow_square, 1, pure=False)
        programs.kill_scheduler()
        gone = r"scheduler must stay until the run ends, it is gone \[tcp://127\.0\.0\.1:\d+\]"
        with pytest.raises(PrimusError, match=gone):
            watch.result(future)
        with pytest.raises(PrimusError, match="run again; finished takes are kept"):
            watch.wait_for_a_worker()
        client.close()


def test_an_address_where_nobody_listens_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        execution = ExecutionConfig(executor="dask", dask_address="tcp://127.0.0.1:9")
        said = r"dask_address must be of a scheduler that answers, got tcp://127\.0\.0\.1:9: start"
        with pytest.raises(PrimusError, match=said), DaskCluster(execution) as cluster:
            cluster.wait({})
