"""One small file a take: what became of it the last time, under which settings, in what time.

Written after the take's parts, whole or not at all, by whoever prepared it; without a lock, as no
two workers of a run have the same take and the last of several runs may win. Records only inform:
a part that is there and verifies is done, whatever stands here.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.config import PrepConfig
from pipelines.outcome import TakeOutcome, state_path
from pipelines.state.settings import parts_settings, plan_settings
from pipelines.storage.faults import storage_faults
from pipelines.storage.files import write_atomic
from pipelines.storage.places import Place
from schemas.store import canonical_json

__all__ = ["TakeRecord", "read_records", "record_path", "write_record"]

# Reading many small files is waiting, on a share and in an object store alike.
_AT_A_TIME: Final = 16


class TakeRecord(BaseModel):
    """What became of a take the last time it was prepared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outcome: TakeOutcome = Field(description="without what its stages did")
    run: str = Field(description="names the run")
    plan: str = Field(description="settings that its segments were planned under")
    at_ns: int = Field(description="when it ended, Unix time")
    seconds: float = Field(ge=0, description="that it took")


def record_path(config: PrepConfig, take_uid: str) -> Place:
    """Return where the record of a take lies under the settings of ``config``."""
    return _folder(config) / state_path(config.parts_root, take_uid).name


def write_record(config: PrepConfig, outcome: TakeOutcome, *, run: str, seconds: float) -> None:
    """Put on record what became of a take, and its quarantine record if it could not be made.

    Args:
        config: of the run.
        outcome: of the take.
        run: names the run.
        seconds: that it took.

    Raises:
        StorageError: if there is no room or no permission.
    """
    record = TakeRecord(
        # How long its stages took is no part of what is wrong with it.
        outcome=outcome.model_copy(update={"work": {}}),
        run=run,
        plan=plan_settings(config),
        at_ns=time.time_ns(),
        seconds=seconds,
    )
    write_atomic(
        record_path(config, outcome.take_uid), canonical_json(record.model_dump(mode="json"))
    )
    quarantine = state_path(config.parts_root, outcome.take_uid)
    if outcome.status == "quarantined":
        told = record.outcome.model_dump(mode="json", exclude={"work"})
        write_atomic(quarantine, canonical_json(told))
    else:
        with storage_faults(quarantine):
            quarantine.unlink(missing_ok=True)


def read_records(
    config: PrepConfig,
    take_uids: Iterable[str],
    *,
    progress: Callable[[int], None] | None = None,
) -> dict[str, TakeRecord]:
    """Return what is on record of some takes under the settings of ``config``, by take uid.

    One listing and one small file a take. A take without a record, or with one that cannot be
    read, is left out.

    Args:
        config: of the run.
        take_uids: takes to look for.
        progress: told how many records are read.

    Raises:
        StorageError: if the place does not answer.
    """
    folder = _folder(config)
    with storage_faults(folder):
        try:
            there = {place.name for place in folder.iterdir()}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        # State of other takes may lie there too: of a larger dataset, or of a limit since lowered.
        paths = {uid: record_path(config, uid) for uid in take_uids}
        wanted = {uid: path for uid, path in paths.items() if path.name in there}
        found: dict[str, TakeRecord] = {}
        with ThreadPoolExecutor(max_workers=_AT_A_TIME) as pool:
            read = zip(wanted, pool.map(_read, wanted.values()), strict=True)
            for i, (uid, record) in enumerate(read):
                if record is not None and record.outcome.take_uid == uid:
                    found[uid] = record
                if progress is not None:
                    progress(i + 1)
    return found


def _folder(config: PrepConfig) -> Place:
    return config.parts_root / "state" / "takes" / parts_settings(config)


def _read(place: Place) -> TakeRecord | None:
    try:
        return TakeRecord.model_validate_json(place.read_bytes())
    except (FileNotFoundError, ValidationError):
        # Replaced meanwhile, or of another release: nothing rests on it.
        return None
