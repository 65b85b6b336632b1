"""One take from its files to its parts, and what became of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from threading import Lock

from pipelines.align.clock import TakeClock
from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue, DatasetReader, read_limited_catalogue
from pipelines.datasets.registry import open_reader
from pipelines.encoders.base import FrozenEncoder
from pipelines.encoders.registry import open_encoder
from pipelines.encoders.torch_threads import use_one_torch_thread
from pipelines.outcome import TakeOutcome, state_path
from pipelines.parts.keys import fingerprinted_bytes
from pipelines.parts.store import PartStore
from pipelines.planned_take import with_planned_take
from pipelines.profile.work import WorkMeter
from pipelines.segments.policies import TakePlan
from pipelines.state.records import write_record
from pipelines.state.stopping import StoppableParts, check_stop, pause
from pipelines.stores.sync_record import find_sync_audit
from pipelines.take_parts import TakeJob, part_keys, read_sources, write_part
from schemas.embedding import EmbeddingSpec
from schemas.errors import UsageError
from schemas.narration import Narration
from schemas.take import Take

__all__ = [
    "TakeOutcome",
    "prepare_batch",
    "prepare_take",
    "read_limited_catalogue",
    "state_path",
]

_CATALOGUE_LOCK = Lock()


def prepare_batch(
    config: PrepConfig, take_uids: Sequence[str], *, encoder_spec: EmbeddingSpec | None, run: str
) -> Iterator[TakeOutcome]:
    """Prepare some takes one after the other; a bad one is quarantined and the rest go on.

    Reader and catalogue are opened once a process and run: a worker that outlives a run reads the
    dataset anew in the next. torch runs on one thread a worker, as sums of floats depend on how
    many share them.

    Args:
        config: of the run.
        take_uids: takes of the catalogue.
        encoder_spec: that the run publishes, None without an encoder; this process must have the
            same encoder.
        run: names the run.

    Raises:
        UsageError: if the encoder is another one here, or the config cannot work.
        StorageError: if parts or records cannot be written.
        StoppedError: if the run was told to stop.
    """
    use_one_torch_thread()
    reader, catalogue, by_uid = _open_catalogue(config, run=run)
    encoder = open_encoder(config.encoder)
    here = encoder.spec if encoder is not None else None
    if here != encoder_spec:
        raise UsageError(_tell_apart(encoder_spec, here))
    parts = StoppableParts(config.parts_root, run=run)
    for take_uid in take_uids:
        check_stop(run)
        began = time.perf_counter()
        outcome = _prepare_or_quarantine(
            by_uid[take_uid],
            catalogue=catalogue,
            reader=reader,
            encoder=encoder,
            parts=parts,
            config=config,
            wait=partial(pause, run=run),
        )
        write_record(config, outcome, run=run, seconds=time.perf_counter() - began)
        yield outcome


def _prepare_or_quarantine(
    take: Take,
    *,
    catalogue: Catalogue,
    reader: DatasetReader,
    encoder: FrozenEncoder | None,
    parts: PartStore,
    config: PrepConfig,
    wait: Callable[[float], None],
) -> TakeOutcome:
    meter = WorkMeter()
    outcome = with_planned_take(
        take,
        catalogue=catalogue,
        reader=reader,
        config=config,
        do=lambda planned: prepare_take(
            take,
            clock=planned.clock,
            plan=planned.plan,
            narrations=planned.narrations,
            reader=reader,
            encoder=encoder,
            parts=parts,
            config=config,
            meter=meter,
        ),
        wait=wait,
    )
    # What was done before a take went wrong was done in this run all the same.
    return outcome.model_copy(update={"work": meter.work()})


def prepare_take(
    take: Take,
    *,
    clock: TakeClock,
    plan: TakePlan,
    narrations: Sequence[Narration],
    reader: DatasetReader,
    encoder: FrozenEncoder | None,
    parts: PartStore,
    config: PrepConfig,
    meter: WorkMeter | None = None,
) -> TakeOutcome:
    """Make whichever of the take's parts are not there yet.

    Args:
        take: as the catalogue has it.
        clock: of the take.
        plan: its segments.
        narrations: of this take, cleaned.
        reader: of the take's dataset.
        encoder: frozen video and text encoder; None makes the imu part alone.
        parts: where the parts lie.
        config: of the run.
        meter: told of what each stage did.

    Raises:
        TakeError: if the take's data does not allow it.
    """
    meter = meter or WorkMeter()
    outcome = TakeOutcome(
        take_uid=take.take_uid,
        # Its drops still count where nothing of it can be stored.
        status="ready" if plan.planned else "empty",
        segments=plan.planned,
        start_ns=clock.span.start_ns,
        end_ns=clock.span.end_ns,
        clock_uncertainty_ns=clock.uncertainty_ns,
    )
    if plan.rows.is_empty():
        # Nothing of it can be stored, so nothing expensive is done.
        return outcome
    with meter.timed("fingerprint"):
        sources = read_sources(take, config=config)
    read = sum(fingerprinted_bytes(source.size) for source in sources.values())
    meter.add("fingerprint", items=len(sources), bytes_in=read)
    job = TakeJob(
        take=take,
        clock=clock,
        plan=plan,
        narrations=narrations,
        sources=sources,
        reader=reader,
        encoder=encoder,
        config=config,
    )
    keys = part_keys(
        take,
        plan=plan,
        sources=sources,
        narrations=narrations,
        config=config,
        spec=encoder.spec if encoder is not None else None,
    )
    with meter.timed("check"):
        missing = [(kind, key) for kind, key in keys.items() if not parts.has(kind, key)]
    there = [parts.path(kind, key) for kind, key in keys.items() if (kind, key) not in missing]
    meter.add("check", items=len(keys), bytes_in=sum(path.stat().st_size for path in there))
    for kind, key in missing:
        write_part(kind, key, job=job, parts=parts, meter=meter)
    if config.audit.enabled and {"imu", "frames"} <= keys.keys():
        with meter.timed("audit"):
            find_sync_audit(
                parts, imu_key=keys["imu"], frames_key=keys["frames"], config=config.audit
            )
        meter.add("audit", items=1)
    return outcome.model_copy(
        update={
            "keys": {str(kind): key for kind, key in keys.items()},
            "sources": tuple(sources.values()),
            "made": tuple(str(kind) for kind, _ in missing),
            "work": meter.work(),
        }
    )


def _tell_apart(driver: EmbeddingSpec | None, worker: EmbeddingSpec | None) -> str:
    rule = "encoder must be the same for the driver and its workers"
    if driver is not None and worker is not None:
        machine = {"device_kind", "precision"}
        if driver.model_dump(exclude=machine) == worker.model_dump(exclude=machine):
            return (
                f"{rule}, got {driver.precision} on {driver.device_kind} and {worker.precision} on "
                f"{worker.device_kind}: the machines are unlike, so name for all of them "
                "encoder.device and encoder.precision (cpu and float32 run everywhere)"
            )
    said = ("none" if spec is None else spec.model_dump_json() for spec in (driver, worker))
    return f"{rule}, got {' and '.join(said)}"


def _open_catalogue(
    config: PrepConfig, *, run: str
) -> tuple[DatasetReader, Catalogue, dict[str, Take]]:
    with _CATALOGUE_LOCK:
        return _opened(config.model_dump_json(), run)


@lru_cache(maxsize=2)
def _opened(config_json: str, run: str) -> tuple[DatasetReader, Catalogue, dict[str, Take]]:
    del run  # only tells one run's catalogue from the next one's
    config = PrepConfig.model_validate_json(config_json)
    reader = open_reader(config.dataset, imu=config.imu, video=config.video, text=config.text)
    catalogue = read_limited_catalogue(reader, limit=config.dataset.limit)
    return reader, catalogue, {take.take_uid: take for take in catalogue.takes}
