"""The whole preparation: takes to parts on an executor, then one version by the driver."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from flows.progress import Progress
from flows.runners import make_task_runner, prefect_server, quiet_environment, split_batches
from flows.tasks import run_batch
from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue
from pipelines.datasets.registry import open_reader
from pipelines.encoders.registry import open_encoder, open_pooler
from pipelines.parts.store import PartStore
from pipelines.prepare import TakeOutcome, clean_narrations, read_limited_catalogue
from pipelines.segments.splits import assign_splits
from pipelines.stores.assemble import PreparedTake, TakeRows, assemble_take
from pipelines.stores.files import open_atomic
from pipelines.stores.publish import PublishedVersion, publish_version
from pipelines.stores.tables import write_quarantine
from pipelines.stores.verify import read_manifest
from schemas.embedding import EmbeddingSpec
from schemas.errors import QuarantineLimitError, UsageError
from schemas.manifest import QUARANTINE_SCHEMA, RunRecord
from schemas.take import Take
from schemas.time import Interval

__all__ = ["RunSummary", "prepare"]

_PACKAGES = (
    "av",
    "dask",
    "decord",
    "numpy",
    "polars",
    "prefect",
    "pyarrow",
    "torch",
    "transformers",
    "zarr",
)


class RunSummary(BaseModel):
    """What ``primus-prep run`` reports."""

    model_config = ConfigDict(frozen=True)

    version: str
    store: str
    planned: int
    stored: int
    dropped: dict[str, int]
    quarantined: dict[str, int]
    quarantined_takes: dict[str, int]
    ignored: dict[str, int]
    computed_takes: int
    reused_takes: int
    seconds: dict[str, float]


def prepare(config: PrepConfig) -> RunSummary:
    """Prepare every take of a dataset and publish a version of the store.

    Args:
        config: resolved config; ``execution.executor`` decides who does the work, never what
            comes out.

    Raises:
        UsageError: if the dataset, encoder or config is wrong.
        QuarantineLimitError: if more takes are quarantined than ``max_quarantine`` allows.
    """
    began = time.perf_counter()
    quiet_environment()
    reader = open_reader(config.dataset, imu=config.imu, video=config.video, text=config.text)
    catalogue = read_limited_catalogue(reader, limit=config.dataset.limit)
    if not catalogue.takes:
        raise UsageError(f"dataset must hold at least one take, got none [{config.dataset.root}]")
    # Weights that cannot be had should end the run here, not in a worker.
    encoder = open_encoder(config.encoder)
    spec = encoder.spec if encoder is not None else None
    open_pooler(config)  # also what it cannot do should end the run here
    splits = assign_splits(catalogue.takes, config=config.splits, official=catalogue.official_split)
    seconds = {"catalogue": time.perf_counter() - began}
    takes_began = time.perf_counter()
    if config.execution.executor == "inline":
        outcomes = _collect(_run_inline(config, catalogue, spec), total=len(catalogue.takes))
        seconds["takes"] = time.perf_counter() - takes_began
        summary = _finish(config, catalogue, spec, splits, outcomes, seconds, began)
    else:
        summary = _run_flow(config, catalogue, spec, splits, seconds, began)
    return summary


def _run_inline(
    config: PrepConfig, catalogue: Catalogue, spec: EmbeddingSpec | None
) -> Iterator[list[dict[str, Any]]]:
    plain, encoder, run = config.model_dump(mode="json"), _plain(spec), uuid4().hex
    for take in catalogue.takes:
        yield run_batch(plain, [take.take_uid], encoder, run)


def _collect(batches: Iterable[list[dict[str, Any]]], *, total: int) -> list[TakeOutcome]:
    outcomes: list[TakeOutcome] = []
    with Progress("takes", total=total, unit="takes") as progress:
        for batch in batches:
            outcomes.extend(TakeOutcome.model_validate(o) for o in batch)
            progress.to(len(outcomes))
    # Batches finish in any order; a version does not depend on it.
    return sorted(outcomes, key=lambda o: o.take_uid)


def _run_flow(
    config: PrepConfig,
    catalogue: Catalogue,
    spec: EmbeddingSpec | None,
    splits: Mapping[str, str | None],
    seconds: dict[str, float],
    began: float,
) -> RunSummary:
    # Imported here: only this command runs flows, and the environment above must come first.
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.futures import as_completed

    batch_task = task(name="take-batch", cache_policy=NO_CACHE, persist_result=False)(run_batch)

    def prepare_store(config_json: dict[str, Any]) -> dict[str, Any]:
        takes_began = time.perf_counter()
        uids = [take.take_uid for take in catalogue.takes]
        batches = split_batches(uids, size=config.execution.batch_takes)
        encoder, run = _plain(spec), uuid4().hex
        futures = [batch_task.submit(config_json, batch, encoder, run) for batch in batches]
        results = (future.result() for future in as_completed(futures))
        outcomes = _collect(results, total=len(uids))
        seconds["takes"] = time.perf_counter() - takes_began
        summary = _finish(config, catalogue, spec, splits, outcomes, seconds, began)
        _write_artifacts(summary, outcomes)
        return summary.model_dump(mode="json")

    server_began = time.perf_counter()
    with prefect_server():
        seconds["server"] = time.perf_counter() - server_began
        run = flow(
            name="prepare-store",
            persist_result=False,
            validate_parameters=False,
            task_runner=make_task_runner(config.execution),
        )(prepare_store)
        return RunSummary.model_validate(run(config.model_dump(mode="json")))


def _finish(
    config: PrepConfig,
    catalogue: Catalogue,
    spec: EmbeddingSpec | None,
    splits: Mapping[str, str | None],
    outcomes: Sequence[TakeOutcome],
    seconds: dict[str, float],
    began: float,
) -> RunSummary:
    takes = {take.take_uid: take for take in catalogue.takes}
    quarantine = _quarantine_table(outcomes, takes=takes)
    bad = quarantine.num_rows
    if bad > config.max_quarantine * len(outcomes):
        table = config.parts_root / "state" / "quarantine.parquet"
        with open_atomic(table) as file:
            write_quarantine(file, quarantine)
        reasons = Counter(o.reason for o in outcomes if o.status == "quarantined")
        raise QuarantineLimitError(
            f"max_quarantine allows {config.max_quarantine:.0%} of takes, got {bad} of "
            f"{len(outcomes)} ({_said(reasons)}); nothing was published, see {table}"
        )
    publish_began = time.perf_counter()
    ready = [o for o in outcomes if o.status == "ready"]
    published = publish_version(
        Path(config.store.uri),
        rows=_assembled(ready, catalogue=catalogue, splits=splits, config=config, spec=spec),
        config=config,
        encoder=spec,
        sources=[source for outcome in ready for source in outcome.sources],
        ignored=catalogue.ignored,
        quarantine=quarantine,
        run=_run_record(config, ready, seconds=seconds),
        tag=config.store.tag,
        masks=config.masks,
    )
    seconds["publish"] = time.perf_counter() - publish_began
    for outcome in ready:
        for stage, work in outcome.work.items():
            name = f"work:{stage}"
            seconds[name] = seconds.get(name, 0.0) + work.seconds
    seconds["total"] = time.perf_counter() - began
    return _summary(config, published, ready, seconds)


def _assembled(
    ready: Sequence[TakeOutcome],
    *,
    catalogue: Catalogue,
    splits: Mapping[str, str | None],
    config: PrepConfig,
    spec: EmbeddingSpec | None,
) -> Iterator[TakeRows]:
    takes = {take.take_uid: take for take in catalogue.takes}
    parts = PartStore(config.parts_root)
    pooler = open_pooler(config)
    with Progress("publish", total=len(ready), unit="takes") as progress:
        for done, outcome in enumerate(ready, start=1):
            uid = outcome.take_uid
            narrations = catalogue.narrations.get(uid, ())
            prepared = PreparedTake(
                take=takes[uid],
                narrations=clean_narrations(narrations, config=config),
                span=Interval(outcome.start_ns, outcome.end_ns),
                clock_uncertainty_ns=outcome.clock_uncertainty_ns,
                split=splits.get(uid),
                imu_key=outcome.keys.get("imu"),
                raw_imu_key=outcome.keys.get("raw_imu"),
                frames_key=outcome.keys.get("frames"),
                text_key=outcome.keys.get("text"),
            )
            yield assemble_take(prepared, parts=parts, config=config, encoder=spec, pooler=pooler)
            progress.to(done)


def _quarantine_table(outcomes: Sequence[TakeOutcome], *, takes: Mapping[str, Take]) -> pa.Table:
    rows = [
        {
            "dataset": takes[o.take_uid].dataset,
            "take_uid": o.take_uid,
            "take_name": takes[o.take_uid].take_name,
            "reason": o.reason,
            "detail": o.detail,
            "segments": o.segments,
        }
        for o in outcomes
        if o.status == "quarantined"
    ]
    return pa.Table.from_pylist(rows, schema=QUARANTINE_SCHEMA)


def _run_record(
    config: PrepConfig, ready: Sequence[TakeOutcome], *, seconds: Mapping[str, float]
) -> RunRecord:
    # Version, times, host and digests are filled in by the publisher.
    return RunRecord(
        version="",
        made_at="",
        python="",
        platform="",
        manifest_sha256="",
        seconds={stage: round(spent, 3) for stage, spent in seconds.items()},
        executor=config.execution.executor,
        workers=config.execution.workers,
        computed_takes=sum(o.computed for o in ready),
        reused_takes=sum(not o.computed for o in ready),
        packages={name: metadata.version(name) for name in _PACKAGES},
        commit=_read_commit(),
        container_digest=os.environ.get("PRIMUS_CONTAINER_DIGEST"),
        parts={o.take_uid: dict(o.keys) for o in ready},
        parts_uri=str(config.parts_root),
        dataset_root=str(config.dataset.root),
        store_uri=config.store.uri,
    )


def _read_commit() -> str | None:
    # Only where the code runs from its own checkout; an installed wheel has none.
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _summary(
    config: PrepConfig,
    published: PublishedVersion,
    ready: Sequence[TakeOutcome],
    seconds: Mapping[str, float],
) -> RunSummary:
    counts = published.counts
    return RunSummary(
        version=published.version,
        store=config.store.uri,
        planned=counts.planned,
        stored=counts.stored,
        dropped=counts.dropped,
        quarantined=counts.quarantined,
        quarantined_takes=counts.quarantined_takes,
        ignored=counts.ignored,
        computed_takes=sum(o.computed for o in ready),
        reused_takes=sum(not o.computed for o in ready),
        seconds={stage: round(spent, 3) for stage, spent in seconds.items()},
    )


def _write_artifacts(summary: RunSummary, outcomes: Sequence[TakeOutcome]) -> None:
    from prefect.artifacts import create_markdown_artifact, create_table_artifact

    lines = [
        f"# Version `{summary.version}`",
        "",
        "| | segments |",
        "|---|---|",
        f"| planned | {summary.planned} |",
        f"| stored | {summary.stored} |",
        *(f"| dropped: {reason} | {n} |" for reason, n in summary.dropped.items()),
        *(f"| quarantined: {reason} | {n} |" for reason, n in summary.quarantined.items()),
        "",
        f"Takes computed: {summary.computed_takes}, reused: {summary.reused_takes}.",
    ]
    create_markdown_artifact("\n".join(lines), key="prepared-version", description="counts")
    rows = [
        {"take": o.take_uid, "reason": o.reason, "detail": o.detail, "segments": o.segments}
        for o in outcomes
        if o.status == "quarantined"
    ]
    create_table_artifact(rows, key="quarantine", description="takes that could not be made")
    quality = read_manifest(Path(summary.store), summary.version).quality
    create_table_artifact(
        [{"column": column, **figures} for column, figures in quality.items()],
        key="quality",
        description="quality columns over the stored segments",
    )


def _plain(spec: EmbeddingSpec | None) -> dict[str, Any] | None:
    return spec.model_dump(mode="json") if spec is not None else None


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {n}" for reason, n in sorted(counts.items())) or "none"
