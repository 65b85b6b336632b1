"""Whose work is priced: this machine's or a cluster's."""

from pathlib import Path
from typing import Any

import pytest

from flows.plan_command import make_cluster
from pipelines.pricing.estimate import Cluster
from schemas.errors import UsageError
from tests.factories import make_config


def cluster(executor: str, **asked: Any) -> Cluster:
    config = make_config(Path("unused"), execution={"executor": executor, "workers": 3})
    return make_cluster(config, **{"workers": None, "cores_per_worker": None, "gpus": 0, **asked})


def test_this_machine_works_as_the_config_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(6)), raising=False)
    threads, dask, inline = (cluster(name) for name in ("threads", "dask", "inline"))
    assert (threads.workers, threads.cores, threads.here) == (3, 6, True)
    assert threads.shared_process
    assert not dask.shared_process
    assert (inline.workers, inline.cores, inline.shared_process) == (1, 6, False)


def test_a_cluster_has_cores_by_worker() -> None:
    asked = cluster("threads", workers=100, cores_per_worker=4, gpus=8)
    assert asked == Cluster(workers=100, cores=400, gpus=8, here=False)
    assert cluster("threads", cores_per_worker=4).workers == 3


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"workers": 0}, "--workers must be 1 or more, got 0"),
        ({"cores_per_worker": -1}, "--cores-per-worker must be 1 or more, got -1"),
        ({"gpus": -1}, "--gpus must be 0 or more, got -1"),
        ({"gpus": 2}, "--gpus prices a cluster and needs --cores-per-worker"),
    ],
)
def test_impossible_clusters_are_refused(asked: dict[str, int], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        cluster("threads", **asked)


def test_rates_of_the_plan_are_no_part_of_a_version(tmp_path: Path) -> None:
    plain = make_config(tmp_path)
    priced = make_config(tmp_path, plan={"rates": {"frames": 20}})
    assert priced.plan.rates == {"frames": 20}
    assert priced.identity() == plain.identity()
