"""What becomes of a take that every Dask worker died of."""

from typing import Final

from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue
from pipelines.outcome import TakeOutcome, quarantined
from schemas.errors import TakeError

__all__ = ["killed_take"]

_CODE: Final = "worker_killed"
# Part of a version's identity like all of the quarantine table: no machine, no count, no limit.
_DETAIL: Final = (
    "a take must not need more than a worker has, each worker that prepared it alone died: give "
    "workers more memory (execution.memory_limit, slurm.memory), or look for a file that crashes "
    "its decoder, and run again"
)


def killed_take(take_uid: str, *, catalogue: Catalogue, config: PrepConfig) -> TakeOutcome:
    """Return the outcome of a take that kills its workers: quarantined, the rest goes on.

    Args:
        take_uid: of the take.
        catalogue: of the take's dataset.
        config: of the run.
    """
    take = next(take for take in catalogue.takes if take.take_uid == take_uid)
    # As without a clock: to plan it here could cost the driver what it cost the workers.
    stride = config.segments.policy == "stride"
    return quarantined(
        TakeError(_CODE, _DETAIL),
        take_uid=take_uid,
        take_name=take.take_name,
        segments=0 if stride else len(catalogue.narrations.get(take_uid, ())),
        root=config.dataset.root,
    )
