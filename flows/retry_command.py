"""``primus-prep retry``: once a cause is mended, run again only the takes it stopped."""

import argparse
from collections.abc import Sequence

from flows.commands import print_summary, quiet_libraries, read_run_config, tell
from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue
from pipelines.outcome import TakeOutcome
from pipelines.state.retry import RetryChoice, choose_retries
from schemas.errors import UsageError

__all__ = ["run_retry"]


class _NothingToRetry(Exception):  # noqa: N818 - no error: the answer
    def __init__(self, choice: RetryChoice) -> None:
        super().__init__()
        self.choice = choice


class _Chooser:
    """Chooses as soon as the dataset is read, and remembers what it chose."""

    def __init__(self, config: PrepConfig, *, reasons: Sequence[str]) -> None:
        self._config, self._reasons = config, reasons
        self.retried = 0

    def __call__(self, catalogue: Catalogue) -> Sequence[TakeOutcome]:
        uids = [take.take_uid for take in catalogue.takes]
        choice = choose_retries(self._config, uids, reasons=self._reasons)
        if not choice.retried:
            raise _NothingToRetry(choice)
        self.retried = len(choice.retried)
        return choice.kept


def run_retry(args: argparse.Namespace) -> int:
    """Prepare the takes quarantined for some reasons again, and publish as a run does."""
    config = read_run_config(args)
    reasons = [code for code in args.reason.split(",") if code]
    if not reasons:
        raise UsageError(f"--reason must name at least one reason, got {args.reason!r}")
    quiet_libraries(args, config)
    from flows.prepare import prepare

    choose = _Chooser(config, reasons=reasons)
    try:
        summary = prepare(config, keep=choose)
    except _NothingToRetry as nothing:
        counts = nothing.choice.quarantined
        on_record = ", ".join(f"{code}: {n}" for code, n in counts.items()) or "none"
        text = (
            f"nothing to retry: no take is quarantined for {', '.join(reasons)} under these "
            f"settings (on record: {on_record}); nothing was published"
        )
        return tell(args, {"retried": 0, "version": None, "on_record": counts}, text)
    report = {**summary.model_dump(mode="json"), "retried": choose.retried}
    return tell(args, report, f"{choose.retried} takes tried again; {print_summary(summary)}")
