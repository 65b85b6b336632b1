"""Fill in what is told of a run: summary, record beside the version, quarantine table."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from flows.summary import RunSummary
from pipelines.config import PrepConfig
from pipelines.datasets.mirror import file_etag
from pipelines.prepare import TakeOutcome
from pipelines.stores.publish import PublishedVersion
from schemas.manifest import QUARANTINE_SCHEMA, RunRecord
from schemas.profile import RunProfile
from schemas.provenance import public_uri, read_code_record
from schemas.take import Take

__all__ = ["count_made", "make_quarantine_table", "make_run_record", "make_summary"]

_PACKAGES = (
    "av",
    "dask",
    "decord",
    "distributed",
    "numpy",
    "polars",
    "prefect",
    "pyarrow",
    "s3fs",
    "torch",
    "transformers",
    "universal-pathlib",
    "zarr",
)


def make_quarantine_table(
    outcomes: Sequence[TakeOutcome], *, takes: Mapping[str, Take]
) -> pa.Table:
    """Return ``QUARANTINE_SCHEMA`` of the takes that could not be made."""
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


def make_run_record(
    config: PrepConfig, ready: Sequence[TakeOutcome], *, seconds: Mapping[str, float]
) -> RunRecord:
    """Return the record beside the version, as far as the driver knows it."""
    code = read_code_record(_PACKAGES)
    # Version, times and digests are filled in by the publisher.
    return RunRecord(
        version="",
        made_at="",
        python=code.python,
        platform=code.platform,
        host=code.host,
        manifest_sha256="",
        seconds={stage: round(spent, 3) for stage, spent in seconds.items()},
        executor=config.execution.executor,
        workers=config.execution.workers,
        computed_takes=sum(o.computed for o in ready),
        reused_takes=sum(not o.computed for o in ready),
        packages=code.packages,
        commit=code.commit,
        dirty=code.dirty,
        container_digest=code.container_digest,
        parts={o.take_uid: dict(o.keys) for o in ready},
        parts_uri=public_uri(str(config.parts_root)),
        dataset_root=public_uri(config.dataset.source),
        store_uri=public_uri(config.store.uri),
        etags={
            source.path: etag
            for outcome in ready
            for source in outcome.sources
            if (etag := file_etag(config.dataset.root, source.path)) is not None
        },
    )


def count_made(ready: Sequence[TakeOutcome]) -> dict[str, int]:
    """Return how many parts of each kind were made; 0 of a kind that was there already."""
    kinds = sorted({kind for outcome in ready for kind in outcome.keys})
    return {kind: sum(kind in outcome.made for outcome in ready) for kind in kinds}


def make_summary(
    config: PrepConfig,
    published: PublishedVersion,
    ready: Sequence[TakeOutcome],
    *,
    seconds: Mapping[str, float],
    profile: RunProfile | None = None,
) -> RunSummary:
    """Return what the run reports of the version that it published."""
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
        computed_parts=count_made(ready),
        seconds={stage: round(spent, 3) for stage, spent in seconds.items()},
        profile=profile,
    )
