"""What the driver of a run does: open the encoder, have takes prepared, publish a version."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from flows.artifacts import write_artifacts
from flows.dask_watch import DaskWatch
from flows.heartbeat import Heartbeat
from flows.killed_take import killed_take
from flows.measure import measure_profile, write_profile
from flows.progress import Progress, stage_progress
from flows.records import make_quarantine_table, make_run_record, make_summary
from flows.run_on_record import RunOnRecord
from flows.runners import make_task_runner, source_bytes, split_batches
from flows.server import prefect_api
from flows.stopping import RunStoppedError, exit_code_of, stop_signals, stop_work
from flows.summary import RunSummary
from flows.tasks import run_batch
from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue
from pipelines.encoders.base import FrozenEncoder
from pipelines.encoders.registry import open_encoder, open_pooler
from pipelines.planned_take import clean_narrations
from pipelines.prepare import TakeOutcome
from pipelines.profile.work import WorkMeter, total_work
from pipelines.state.records import write_record
from pipelines.storage.files import open_atomic
from pipelines.stores.prepared_takes import PreparedTake, make_prepared_take
from pipelines.stores.publish import publish_version
from pipelines.stores.tables import write_quarantine
from pipelines.stores.task_map import TaskMap, run_here
from schemas.embedding import EmbeddingSpec
from schemas.errors import QuarantineLimitError
from schemas.take import Take

__all__ = ["LoadedRun", "load_run", "run_here_in_turn", "run_on_prefect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRun:
    """What the driver read before the first take, and the clock of the whole run."""

    config: PrepConfig
    catalogue: Catalogue
    encoder: FrozenEncoder | None
    splits: Mapping[str, str | None]
    began: float
    seconds: dict[str, float]
    kept: tuple[TakeOutcome, ...] = ()
    """Of takes that are not to be touched."""
    name: str = field(default_factory=lambda: uuid4().hex)
    """Tells this run from others."""

    @property
    def left(self) -> list[Take]:
        """Takes to prepare."""
        kept = {outcome.take_uid for outcome in self.kept}
        return [take for take in self.catalogue.takes if take.take_uid not in kept]

    @property
    def spec(self) -> EmbeddingSpec | None:
        """Identity of the encoder; None without one."""
        return self.encoder.spec if self.encoder is not None else None


def load_run(
    config: PrepConfig,
    catalogue: Catalogue,
    *,
    splits: Mapping[str, str | None],
    began: float,
    seconds: Mapping[str, float],
    kept: Sequence[TakeOutcome] = (),
) -> LoadedRun:
    """Open the encoder beside what was read of the dataset.

    Args:
        config: of the run.
        catalogue: of the dataset.
        splits: take_uid: its split.
        began: when the run did, by ``time.perf_counter``.
        seconds: spent so far, by stage.
        kept: what became of takes that are not to be touched.

    Raises:
        UsageError: if the encoder cannot be loaded.
    """
    # Weights that cannot be had should end the run here, not in a worker.
    encoder = open_encoder(config.encoder)
    open_pooler(config)  # also what it cannot do should end the run here
    return LoadedRun(
        config=config,
        catalogue=catalogue,
        encoder=encoder,
        splits=splits,
        began=began,
        seconds=dict(seconds),
        kept=tuple(kept),
    )


def run_here_in_turn(run: LoadedRun) -> RunSummary:
    """Prepare one take after the other in this process, then publish."""
    run.seconds["start"] = time.perf_counter() - run.began
    with _in_order(run, workers=1) as (outcomes, record):
        _collect(_batches_in_turn(run), run=run, outcomes=outcomes)
        summary = _finish(run, outcomes, run_tasks=run_here, workers=1)
        record.published(summary.version)
    return summary


def _batches_in_turn(run: LoadedRun) -> Iterator[list[dict[str, Any]]]:
    plain, encoder = run.config.model_dump(mode="json"), _plain(run.spec)
    for take in run.left:
        yield run_batch(plain, [take.take_uid], encoder, run.name)


@contextmanager
def _in_order(
    run: LoadedRun, *, workers: int, dask_address: str | None = None
) -> Iterator[tuple[list[TakeOutcome], RunOnRecord]]:
    """Yield the list that outcomes go to; however the block ends, whoever works for it stops.

    Raises:
        RunStoppedError: if the run was told to stop.
    """
    outcomes = list(run.kept)
    takes = len(run.catalogue.takes)
    with (
        stop_signals(),
        RunOnRecord(run.config, run=run.name, takes=takes, workers=workers) as record,
    ):
        try:
            yield outcomes, record
        except KeyboardInterrupt as stop:
            stop_work(run.name, dask_address=dask_address)
            raise RunStoppedError(
                f"stopped, {len(outcomes)} of {takes} takes done, run again to go on",
                exit_code=exit_code_of(stop),
            ) from stop
        except Exception:
            stop_work(run.name, dask_address=dask_address)
            raise


def _collect(
    batches: Iterable[list[dict[str, Any]]], *, run: LoadedRun, outcomes: list[TakeOutcome]
) -> None:
    began = time.perf_counter()
    with (
        Progress("takes", total=len(run.catalogue.takes), unit="takes") as progress,
        Heartbeat((progress.still, 1.0)),
    ):
        for batch in batches:
            outcomes.extend(TakeOutcome.model_validate(o) for o in batch)
            progress.to(len(outcomes))
    run.seconds["takes"] = time.perf_counter() - began
    # Batches finish in any order; a version does not depend on it.
    outcomes.sort(key=lambda o: o.take_uid)


def run_on_prefect(
    run: LoadedRun,
    *,
    url: str,
    run_tasks: TaskMap,
    workers: int,
    dask_address: str | None = None,
    watch: DaskWatch | None = None,
) -> RunSummary:
    """Prepare the takes by tasks of a Prefect flow, then publish.

    Args:
        run: as loaded.
        url: of Prefect's API.
        run_tasks: carries out the publish jobs.
        workers: side by side.
        dask_address: of the scheduler, where tasks run on Dask; on threads without one.
        watch: over the Dask cluster; None on threads.
    """
    # Imported here: only this command runs flows, and the environment must come first.
    from flows.store_flow import make_store_flow, submit_batches, submit_to_dask

    execution = run.config.execution

    def give_up(take_uid: str) -> dict[str, Any]:
        outcome = killed_take(take_uid, catalogue=run.catalogue, config=run.config)
        # Nobody is left who could.
        write_record(run.config, outcome, run=run.name, seconds=0.0)
        return outcome.model_dump(mode="json")

    def drive(config_json: dict[str, Any]) -> dict[str, Any]:
        root = run.config.dataset.root
        batches = split_batches(
            {take.take_uid: source_bytes(take, root=root) for take in run.left},
            size=execution.batch_takes,
            workers=workers,
        )
        run.seconds["start"] = time.perf_counter() - run.began
        encoder = _plain(run.spec)
        with _in_order(run, workers=workers, dask_address=dask_address) as (outcomes, record):
            if watch is None:
                results = submit_batches(config_json, batches, encoder=encoder, run=run.name)
            else:
                results = submit_to_dask(
                    config_json,
                    batches,
                    encoder=encoder,
                    run=run.name,
                    watch=watch,
                    give_up=give_up,
                )
            _collect(results, run=run, outcomes=outcomes)
            summary = _finish(run, outcomes, run_tasks=run_tasks, workers=workers)
            record.published(summary.version)
        write_artifacts(summary, outcomes)
        return summary.model_dump(mode="json")

    runner = make_task_runner(execution, dask_address=dask_address)
    with prefect_api(url), make_store_flow(drive, task_runner=runner) as prepared:
        return RunSummary.model_validate(prepared(run.config.model_dump(mode="json")))


def _finish(
    run: LoadedRun, outcomes: Sequence[TakeOutcome], *, run_tasks: TaskMap, workers: int
) -> RunSummary:
    config, catalogue, seconds = run.config, run.catalogue, run.seconds
    takes = {take.take_uid: take for take in catalogue.takes}
    quarantine = make_quarantine_table(outcomes, takes=takes)
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
    ready = [o for o in outcomes if o.status == "ready"]
    work = total_work(outcome.work for outcome in outcomes)
    seconds.update({f"work:{stage}": done.seconds for stage, done in work.items()})
    meter = WorkMeter()
    publish_began = time.perf_counter()
    with stage_progress({"assemble": "takes", "arrays": "segments"}) as progress:
        published = publish_version(
            config.store.place,
            takes=_prepared_takes(ready, catalogue=catalogue, splits=run.splits, config=config),
            config=config,
            encoder=run.spec,
            sources=[source for outcome in ready for source in outcome.sources],
            ignored=catalogue.ignored,
            quarantine=quarantine,
            run=make_run_record(config, ready, seconds=seconds),
            tag=config.store.tag,
            masks=config.masks,
            run_tasks=run_tasks,
            meter=meter,
            progress=progress,
        )
    seconds["publish"] = time.perf_counter() - publish_began
    seconds.update({f"work:{stage}": done.seconds for stage, done in meter.work().items()})
    seconds["total"] = time.perf_counter() - run.began
    profile = None
    if config.execution.profile:
        profile = measure_profile(
            config,
            work=total_work([work, meter.work()]),
            takes=len(outcomes),
            # One without parts may have files that nobody could read.
            probed=next((takes[o.take_uid] for o in ready if o.keys), None),
            encoder=run.encoder,
            seconds=seconds,
            workers=workers,
        )
        if not published.reused:
            # The record of the run that made the version; a run that found it made changes nothing.
            write_profile(config.store.place, published.version, profile=profile)
    return make_summary(config, published, ready, seconds=seconds, profile=profile)


def _prepared_takes(
    ready: Sequence[TakeOutcome],
    *,
    catalogue: Catalogue,
    splits: Mapping[str, str | None],
    config: PrepConfig,
) -> Iterator[PreparedTake]:
    takes = {take.take_uid: take for take in catalogue.takes}
    for outcome in ready:
        uid = outcome.take_uid
        yield make_prepared_take(
            takes[uid],
            outcome=outcome,
            narrations=clean_narrations(catalogue.narrations.get(uid, ()), config=config),
            split=splits.get(uid),
        )


def _plain(spec: EmbeddingSpec | None) -> dict[str, Any] | None:
    return spec.model_dump(mode="json") if spec is not None else None


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {n}" for reason, n in sorted(counts.items())) or "none"
