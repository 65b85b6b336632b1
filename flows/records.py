"""Fill in what is told of a run: summary, record beside the version, quarantine table."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import pyarrow as pa

from flows.summary import RunSummary
from pipelines.config import PrepConfig
from pipelines.prepare import TakeOutcome
from pipelines.stores.publish import PublishedVersion
from schemas.manifest import QUARANTINE_SCHEMA, RunRecord
from schemas.profile import RunProfile
from schemas.take import Take

__all__ = ["make_quarantine_table", "make_run_record", "make_summary"]

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
        seconds={stage: round(spent, 3) for stage, spent in seconds.items()},
        profile=profile,
    )
