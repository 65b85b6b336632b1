"""Publish finished parts as a version of no run, for whoever only wants to know what it takes."""

from collections.abc import Sequence
from typing import Final

from pipelines.config import PrepConfig
from pipelines.profile.work import WorkMeter
from pipelines.storage.places import Place
from pipelines.stores.prepared_takes import PreparedTake
from pipelines.stores.publish import PublishedVersion, publish_version
from pipelines.stores.task_map import TaskMap, run_here
from schemas.embedding import EmbeddingSpec
from schemas.manifest import QUARANTINE_SCHEMA, RunRecord, SourceEntry

__all__ = ["publish_timed"]


def publish_timed(
    store: Place,
    *,
    takes: Sequence[PreparedTake],
    config: PrepConfig,
    spec: EmbeddingSpec | None,
    sources: Sequence[SourceEntry],
    run_tasks: TaskMap = run_here,
    meter: WorkMeter | None = None,
) -> PublishedVersion:
    """Publish takes into a store, under a run record that says nothing of a run.

    Args:
        store: place of the store; the parts may lie elsewhere.
        takes: whose parts are there.
        config: that they were made under.
        spec: of the encoder, None without one.
        sources: of the takes.
        run_tasks: does the jobs.
        meter: told what each stage took.
    """
    return publish_version(
        store,
        takes=takes,
        config=config,
        encoder=spec,
        sources=sources,
        quarantine=QUARANTINE_SCHEMA.empty_table(),
        run=_NO_RUN,
        run_tasks=run_tasks,
        meter=meter,
    )


_NO_RUN: Final = RunRecord(
    version="",
    made_at="",
    seconds={},
    executor="inline",
    workers=1,
    computed_takes=0,
    reused_takes=0,
    python="",
    platform="",
    packages={},
    commit=None,
    parts={},
    parts_uri="",
    dataset_root="",
    store_uri="",
    manifest_sha256="",
)
