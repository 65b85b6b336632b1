"""How far a dataset is under a config: told from records and listings, nothing is opened."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from pipelines.config import PrepConfig
from pipelines.state.part_sizes import PartSizes, list_parts
from pipelines.state.records import TakeRecord, read_records
from pipelines.state.run_state import RunState, read_run_state
from pipelines.state.settings import plan_settings
from pipelines.stores.refs import list_tags, list_versions
from pipelines.stores.sealed import read_manifest
from schemas.embedding import EmbeddingSpec
from schemas.errors import NewerFormatError, StoreDamagedError
from schemas.reasons import find_reason

__all__ = ["RunStatus", "read_status"]

EtaFrom: TypeAlias = Literal["this_run", "last_hour", "records", "nothing_left", "unknown"]

# A driver says that it is alive four times as often.
_ALIVE_S: Final = 60.0
_RECENT_NS: Final = 3600 * 1_000_000_000


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TakeProgress(_Closed):
    """Takes of the dataset."""

    all: int
    done: int = Field(description="all parts are there, or no segment is planned")
    left: int
    quarantined: int


class ReasonCount(_Closed):
    """Takes quarantined for one reason."""

    reason: str
    takes: int
    segments: int
    meaning: str
    remedy: str


class KindSize(_Closed):
    """Parts of one kind, of these takes alone."""

    files: int
    bytes: int


class FoundVersion(_Closed):
    """A version published from this config."""

    version: str
    tags: tuple[str, ...]
    stored: int
    quarantined_takes: int


class SeenRun(_Closed):
    """The run at work, or the last one that was."""

    going_on: bool
    seen_s_ago: float
    executor: str
    workers: int
    ended: str = Field(description="published, stopped, failed; empty where nothing says so")
    said: str
    finished_takes: int = Field(description="on record from it")


class RunStatus(_Closed):
    """What ``primus-prep status`` reports."""

    store: str
    parts_place: str
    takes: TakeProgress
    quarantined: tuple[ReasonCount, ...]
    planned_segments: int = Field(description="in done takes, under these settings")
    parts: dict[str, KindSize]
    versions: tuple[FoundVersion, ...]
    run: SeenRun | None
    eta_s: float | None = Field(description="for the takes left; None where no take was timed")
    eta_from: EtaFrom


def read_status(
    config: PrepConfig, take_uids: Sequence[str], *, now_ns: int | None = None
) -> RunStatus:
    """Return how far a dataset is.

    A take is done when its last outcome says so and its parts still lie there; whether they verify
    is left to the run.

    Args:
        config: of the run.
        take_uids: of the dataset.
        now_ns: Unix time; None for the clock's.

    Raises:
        StorageError: if a place does not answer.
    """
    now_ns = time.time_ns() if now_ns is None else now_ns
    records = read_records(config, take_uids)
    there = list_parts(config.parts_root)
    plan = plan_settings(config)
    done = {uid: r for uid, r in records.items() if _is_done(r, there=there, plan=plan)}
    bad = {uid: r for uid, r in records.items() if r.outcome.status == "quarantined"}
    left = len(take_uids) - len(done) - len(bad)
    state = read_run_state(config)
    run = _seen(state, records=records, now_ns=now_ns) if state is not None else None
    at_work = state if run is not None and run.going_on else None
    eta_s, eta_from = _eta(left, records=records, run=at_work, config=config, now_ns=now_ns)
    return RunStatus(
        store=config.store.uri,
        parts_place=str(config.parts_root),
        takes=TakeProgress(all=len(take_uids), done=len(done), left=left, quarantined=len(bad)),
        quarantined=tuple(_count_reasons(bad)),
        planned_segments=sum(r.outcome.segments for r in done.values() if r.plan == plan),
        parts=_sizes(done.values(), there=there),
        versions=tuple(_find_versions(config)),
        run=run,
        eta_s=eta_s,
        eta_from=eta_from,
    )


def _is_done(record: TakeRecord, *, there: PartSizes, plan: str) -> bool:
    outcome = record.outcome
    if outcome.status == "quarantined":
        return False
    if not outcome.keys:
        # Other windows may find something in it.
        return record.plan == plan
    return all((kind, key) in there for kind, key in outcome.keys.items())


def _count_reasons(bad: Mapping[str, TakeRecord]) -> list[ReasonCount]:
    takes = Counter(record.outcome.reason for record in bad.values())
    segments: Counter[str] = Counter()
    for record in bad.values():
        segments[record.outcome.reason] += record.outcome.segments
    counts: list[ReasonCount] = []
    for code, n in sorted(takes.items(), key=lambda item: (-item[1], item[0])):
        row = find_reason(code, kind="quarantine")
        counts.append(
            ReasonCount(
                reason=code,
                takes=n,
                segments=segments[code],
                meaning=row.meaning if row is not None else "",
                remedy=row.remedy if row is not None else "",
            )
        )
    return counts


def _sizes(done: Iterable[TakeRecord], *, there: PartSizes) -> dict[str, KindSize]:
    # A text part of equal sentences is several takes' own.
    keys = {key for record in done for key in record.outcome.keys.items()}
    kinds = sorted({kind for kind, _ in keys})
    return {
        kind: KindSize(
            files=sum(of == kind for of, _ in keys),
            bytes=sum(there[key] for key in keys if key[0] == kind),
        )
        for kind in kinds
    }


def _seen(state: RunState, *, records: Mapping[str, TakeRecord], now_ns: int) -> SeenRun:
    age_s = state.age_s(now_ns=now_ns)
    return SeenRun(
        going_on=not state.ended and age_s < _ALIVE_S,
        seen_s_ago=age_s,
        executor=state.executor,
        workers=state.workers,
        ended=state.ended,
        said=state.said,
        finished_takes=sum(record.run == state.run for record in records.values()),
    )


def _eta(
    left: int,
    *,
    records: Mapping[str, TakeRecord],
    run: RunState | None,
    config: PrepConfig,
    now_ns: int,
) -> tuple[float | None, EtaFrom]:
    """Return seconds for the takes left: as many as those made took, shared among the workers."""
    if left == 0:
        return 0.0, "nothing_left"
    workers = 1 if config.execution.executor == "inline" else config.execution.workers
    # A take that found its parts says nothing about one that has to be made.
    made = [record for record in records.values() if record.outcome.made]
    recent = [record for record in made if now_ns - record.at_ns < _RECENT_NS]
    chosen: list[tuple[EtaFrom, list[TakeRecord]]] = [("last_hour", recent), ("records", made)]
    if run is not None:
        workers = run.workers
        chosen.insert(0, ("this_run", [record for record in made if record.run == run.run]))
    for eta_from, timed in chosen:
        if timed:
            mean_s = sum(record.seconds for record in timed) / len(timed)
            return left * mean_s / min(workers, left), eta_from
    return None, "unknown"


def _find_versions(config: PrepConfig) -> Iterator[FoundVersion]:
    store = config.store.place
    tags = list_tags(store)
    wanted = config.identity()
    for version in list_versions(store):
        try:
            manifest = read_manifest(store, version)
        except (StoreDamagedError, NewerFormatError):
            # ``store verify`` says what is wrong with it.
            continue
        if manifest.config != wanted or not _same_encoder(manifest.encoder, config=config):
            continue
        yield FoundVersion(
            version=version,
            tags=tuple(sorted(tag for tag, at in tags.items() if at == version)),
            stored=manifest.counts.stored,
            quarantined_takes=sum(manifest.counts.quarantined_takes.values()),
        )


def _same_encoder(spec: EmbeddingSpec | None, *, config: PrepConfig) -> bool:
    # As far as the config tells: weights are not opened for it.
    asked = config.encoder
    if spec is None or asked.name == "none":
        return (spec is None) == (asked.name == "none")
    return (
        spec.name in {asked.name, Path(asked.name).resolve().name}
        and spec.batch_size == asked.batch_size
        and spec.pooling == asked.pooling
        and asked.device in {"auto", spec.device_kind}
        and asked.precision in {"auto", spec.precision}
    )
