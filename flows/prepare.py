"""The whole preparation: takes to parts on an executor, then one version by the driver.

Light to import: what is wrong with the dataset is said at once, and Prefect's server and Dask's
workers are on their way before the driver imports torch and opens the encoder, so that neither
waits for the other.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TypeAlias

from flows.cluster import DaskCluster, check_dask, dask_report, host_for_workers
from flows.runners import quiet_environment
from flows.server import PrefectServer
from flows.summary import RunSummary
from flows.task_maps import map_on_dask, map_on_threads
from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue, read_limited_catalogue
from pipelines.datasets.registry import open_reader
from pipelines.outcome import TakeOutcome
from pipelines.segments.splits import assign_splits
from schemas.errors import UsageError

__all__ = ["Keep", "RunSummary", "prepare"]

Keep: TypeAlias = Callable[[Catalogue], Sequence[TakeOutcome]]


def prepare(config: PrepConfig, *, keep: Keep | None = None) -> RunSummary:
    """Prepare every take of a dataset and publish a version of the store.

    Args:
        config: resolved config; ``execution.executor`` decides who does the work, never what
            comes out.
        keep: chooses, of the dataset read, outcomes on record whose takes are not to be touched.

    Raises:
        UsageError: if the dataset, encoder or config is wrong.
        QuarantineLimitError: if more takes are quarantined than ``max_quarantine`` allows.
    """
    began = time.perf_counter()
    quiet_environment()
    execution = config.execution
    check_dask(execution)
    catalogue, splits = _read_dataset(config)
    kept = keep(catalogue) if keep is not None else ()
    seconds = {"catalogue": time.perf_counter() - began}
    if execution.executor == "inline":
        from flows.driver import load_run, run_here_in_turn

        return run_here_in_turn(
            load_run(config, catalogue, splits=splits, began=began, seconds=seconds, kept=kept)
        )
    with (
        PrefectServer(host_for_workers(execution)) as server,
        DaskCluster(execution) if execution.executor == "dask" else nullcontext() as cluster,
    ):
        from flows.driver import load_run, run_on_prefect

        run = load_run(config, catalogue, splits=splits, began=began, seconds=seconds, kept=kept)
        waited = time.perf_counter()
        server.wait()
        run.seconds["server"] = time.perf_counter() - waited
        if cluster is None:
            run_tasks = map_on_threads(execution.workers)
            return run_on_prefect(
                run, url=server.url, run_tasks=run_tasks, workers=execution.workers
            )
        waited = time.perf_counter()
        client = cluster.wait(config.model_dump(mode="json"))
        run.seconds["workers"] = time.perf_counter() - waited
        with dask_report(client, execution.dask_report):
            return run_on_prefect(
                run,
                url=server.url,
                run_tasks=map_on_dask(client, workers=cluster.workers, watch=cluster.watch),
                workers=cluster.workers,
                dask_address=cluster.address,
                watch=cluster.watch,
            )


def _read_dataset(config: PrepConfig) -> tuple[Catalogue, Mapping[str, str | None]]:
    reader = open_reader(config.dataset, imu=config.imu, video=config.video, text=config.text)
    catalogue = read_limited_catalogue(reader, limit=config.dataset.limit)
    if not catalogue.takes:
        raise UsageError(f"dataset must hold at least one take, got none [{config.dataset.source}]")
    splits = assign_splits(catalogue.takes, config=config.splits, official=catalogue.official_split)
    return catalogue, splits
