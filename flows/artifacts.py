"""What a run leaves in Prefect: counts, quarantine, quality and, where measured, its profile."""

from collections.abc import Sequence

from flows.summary import RunSummary
from pipelines.prepare import TakeOutcome
from pipelines.storage.places import open_place
from pipelines.stores.verify import read_manifest

__all__ = ["write_artifacts"]


def write_artifacts(summary: RunSummary, outcomes: Sequence[TakeOutcome]) -> None:
    """Write the artifacts of a run; called inside its flow."""
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
    quality = read_manifest(open_place(summary.store), summary.version).quality
    create_table_artifact(
        [{"column": column, **figures} for column, figures in quality.items()],
        key="quality",
        description="quality columns over the stored segments",
    )
    if summary.profile is not None:
        create_table_artifact(
            [stage.model_dump(mode="json") for stage in summary.profile.stages],
            key="profile",
            description=summary.profile.sentence,
        )
