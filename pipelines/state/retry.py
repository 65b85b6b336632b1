"""Which takes are tried again, and which keep what is on record of them."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pipelines.config import PrepConfig
from pipelines.outcome import TakeOutcome
from pipelines.state.records import read_records
from pipelines.state.settings import plan_settings
from schemas.errors import UsageError
from schemas.reasons import reasons_of

__all__ = ["RetryChoice", "choose_retries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryChoice:
    """What a retry touches, and what it leaves."""

    retried: tuple[str, ...]
    """Take uids that were quarantined for one of the reasons."""
    kept: tuple[TakeOutcome, ...]
    """Of takes that stay quarantined without being touched."""
    quarantined: dict[str, int]
    """Reason: takes on record."""


def choose_retries(
    config: PrepConfig, take_uids: Iterable[str], *, reasons: Collection[str]
) -> RetryChoice:
    """Return which takes a retry tries again.

    A take that is quarantined for another reason keeps its outcome, if its segments were planned
    as ``config`` plans them; all others are prepared as in a run: those that are done find their
    parts.

    Args:
        config: of the run.
        take_uids: of the dataset.
        reasons: codes to try again.

    Raises:
        UsageError: if a reason is none that a take can be quarantined for.
        StorageError: if the records cannot be read.
    """
    records = read_records(config, take_uids)
    bad = {uid: r for uid, r in records.items() if r.outcome.status == "quarantined"}
    counted = Counter(record.outcome.reason for record in bad.values())
    known = {reason.code for reason in reasons_of("quarantine")} | counted.keys()
    for reason in reasons:
        if reason not in known:
            there = ", ".join(f"{code} ({n})" for code, n in sorted(counted.items())) or "none"
            raise UsageError(
                f"--reason must be a quarantine reason, got {reason}; on record: {there}"
            )
    plan = plan_settings(config)
    return RetryChoice(
        retried=tuple(sorted(uid for uid, r in bad.items() if r.outcome.reason in reasons)),
        kept=tuple(
            record.outcome
            for record in bad.values()
            if record.outcome.reason not in reasons and record.plan == plan
        ),
        quarantined=dict(sorted(counted.items())),
    )
