"""One take from its files to its three parts, and what became of it."""

import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final, Literal

import torch
from pydantic import BaseModel, ConfigDict

from pipelines.align.clock import TakeClock
from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue, DatasetReader, read_limited_catalogue
from pipelines.datasets.registry import open_reader
from pipelines.encoders.base import FrozenEncoder
from pipelines.encoders.registry import open_encoder
from pipelines.imu.first_sample import open_imu
from pipelines.parts.frames import write_frames_part
from pipelines.parts.imu import write_imu_part
from pipelines.parts.keys import (
    frames_key,
    imu_key,
    raw_imu_key,
    read_source,
    take_path,
    text_key,
)
from pipelines.parts.raw_imu import write_raw_imu_part
from pipelines.parts.store import PartKind, PartStore
from pipelines.parts.text import write_text_part
from pipelines.profile.work import StageWork, WorkMeter
from pipelines.segments.policies import TakePlan, plan_segments
from pipelines.stores.files import write_atomic
from pipelines.stores.sync_record import find_sync_audit
from pipelines.text.clean import clean_text
from schemas.embedding import EmbeddingSpec
from schemas.errors import TakeError, UsageError
from schemas.manifest import SourceEntry
from schemas.narration import Narration
from schemas.store import canonical_json, sha256_hex
from schemas.take import Take

__all__ = [
    "TakeOutcome",
    "clean_narrations",
    "prepare_batch",
    "prepare_take",
    "read_limited_catalogue",
    "state_path",
]

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_TORCH_THREADS: Final = 1
_CATALOGUE_LOCK = Lock()


class TakeOutcome(BaseModel):
    """What became of one take; small enough to travel between processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    take_uid: str
    status: Literal["ready", "empty", "quarantined"]
    """empty: no segment is planned in it, so nothing was computed."""
    reason: str = ""
    detail: str = ""
    segments: int = 0
    """Planned segments and planned drops; without a clock the narrations, none under stride."""
    start_ns: int = 0
    end_ns: int = 0
    """The take spans [start_ns, end_ns) of its clock."""
    clock_uncertainty_ns: int = 0
    keys: dict[str, str] = {}
    """Part keys by kind; a kind the take lacks is absent."""
    sources: tuple[SourceEntry, ...] = ()
    computed: bool = False
    """Whether any part had to be made; False when all were there already."""
    work: dict[str, StageWork] = {}
    """What each stage did in it."""


def clean_narrations(
    narrations: Sequence[Narration], *, config: PrepConfig
) -> tuple[Narration, ...]:
    """Return the narrations with their cleaned sentences filled in."""
    rule = config.text.cleaning
    return tuple(replace(n, text=clean_text(n.text_raw, rule=rule)) for n in narrations)


def state_path(parts_root: Path, take_uid: str) -> Path:
    """Return where a take's quarantine record lies; a uid that is no safe file name is hashed."""
    safe = _SAFE_NAME.fullmatch(take_uid) is not None
    name = take_uid if safe else sha256_hex(take_uid.encode())
    return parts_root / "state" / f"{name}.json"


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
    """
    if torch.get_num_threads() != _TORCH_THREADS:
        torch.set_num_threads(_TORCH_THREADS)
    reader, catalogue, by_uid = _open_catalogue(config, run=run)
    encoder = open_encoder(config.encoder)
    here = encoder.spec if encoder is not None else None
    if here != encoder_spec:
        raise UsageError(
            "encoder must be the same for the driver and its workers, "
            f"got {_said(encoder_spec)} and {_said(here)}"
        )
    parts = PartStore(config.parts_root)
    for take_uid in take_uids:
        outcome = _prepare_or_quarantine(
            by_uid[take_uid],
            catalogue=catalogue,
            reader=reader,
            encoder=encoder,
            parts=parts,
            config=config,
        )
        record = state_path(config.parts_root, take_uid)
        if outcome.status == "quarantined":
            write_atomic(record, canonical_json(outcome.model_dump(mode="json")))
        else:
            record.unlink(missing_ok=True)
        yield outcome


def _prepare_or_quarantine(
    take: Take,
    *,
    catalogue: Catalogue,
    reader: DatasetReader,
    encoder: FrozenEncoder | None,
    parts: PartStore,
    config: PrepConfig,
) -> TakeOutcome:
    narrations = clean_narrations(catalogue.narrations.get(take.take_uid, ()), config=config)
    # Under stride narrations plan nothing, and without a clock nothing else does.
    planned = 0 if config.segments.policy == "stride" else len(narrations)
    fault = catalogue.faults.get(take.take_uid)
    if fault is None:
        try:
            clock = reader.read_clock(take)
            plan = plan_segments(
                take,
                narrations=narrations,
                span=clock.span,
                clock_uncertainty_ns=clock.uncertainty_ns,
                config=config.segments,
                text=config.text,
            )
            planned = plan.planned
            return prepare_take(
                take,
                clock=clock,
                plan=plan,
                narrations=narrations,
                reader=reader,
                encoder=encoder,
                parts=parts,
                config=config,
            )
        except TakeError as error:
            fault = error
        except UsageError:
            raise
        except Exception as error:
            # One bad take never costs the night; the record says what happened and where.
            fault = TakeError("unexpected_error", _describe(error))
    # The quarantine table is part of a version's identity: no path of this machine belongs in it.
    detail = _without_root(fault.detail, root=config.dataset.root)
    return TakeOutcome(
        take_uid=take.take_uid,
        status="quarantined",
        reason=fault.code,
        # A name out of JSON may hold halves of signs, which no file can.
        detail=f"{detail} [take={take.take_name}]".encode(errors="backslashreplace").decode(),
        segments=planned,
    )


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

    Raises:
        TakeError: if the take's data does not allow it.
    """
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
    meter = WorkMeter()
    with meter.timed("fingerprint"):
        sources = _read_sources(take, root=config.dataset.root)
    meter.add("fingerprint", items=len(sources))
    keys = _part_keys(
        take,
        sources=sources,
        narrations=narrations,
        config=config,
        spec=encoder.spec if encoder is not None else None,
    )
    with meter.timed("check"):
        missing = [(kind, key) for kind, key in keys.items() if not parts.has(kind, key)]
    meter.add("check", items=len(keys))
    for kind, key in missing:
        with meter.timed(kind):
            _write_part(
                kind,
                key,
                take=take,
                clock=clock,
                narrations=narrations,
                reader=reader,
                encoder=encoder,
                parts=parts,
                config=config,
            )
    if config.audit.enabled and {"imu", "frames"} <= keys.keys():
        with meter.timed("audit"):
            find_sync_audit(
                parts, imu_key=keys["imu"], frames_key=keys["frames"], config=config.audit
            )
    return outcome.model_copy(
        update={
            "keys": {str(kind): key for kind, key in keys.items()},
            "sources": tuple(sources.values()),
            "computed": bool(missing),
            "work": meter.work(),
        }
    )


def _write_part(
    kind: PartKind,
    key: str,
    *,
    take: Take,
    clock: TakeClock,
    narrations: Sequence[Narration],
    reader: DatasetReader,
    encoder: FrozenEncoder | None,
    parts: PartStore,
    config: PrepConfig,
) -> None:
    if kind == "imu":
        recording = open_imu(reader, take, clock, config=config.imu)
        write_imu_part(parts, key, recording=recording, span=clock.span, config=config.imu)
    elif kind == "raw_imu":
        recording = open_imu(reader, take, clock, config=config.imu)
        write_raw_imu_part(parts, key, recording=recording, span=clock.span)
    elif encoder is None:
        raise ValueError(f"a {kind} part needs an encoder")
    elif kind == "frames" and take.video is not None:
        paths = [take_path(config.dataset.root, path) for path in take.video.paths]
        write_frames_part(
            parts,
            key,
            paths=paths,
            span=clock.span,
            config=config.video,
            encoder=encoder,
            motion=config.audit.enabled,
        )
    else:
        write_text_part(parts, key, texts=_unique_texts(narrations), encoder=encoder)


def _read_sources(take: Take, *, root: Path) -> dict[str, SourceEntry]:
    paths = [
        *(take.imu.paths if take.imu is not None else ()),
        *(take.video.paths if take.video is not None else ()),
        *take.clock_paths,
    ]
    unique = dict.fromkeys(paths)
    return {path: read_source(root, take.take_uid, path) for path in unique}


def _part_keys(
    take: Take,
    *,
    sources: Mapping[str, SourceEntry],
    narrations: Sequence[Narration],
    config: PrepConfig,
    spec: EmbeddingSpec | None,
) -> dict[PartKind, str]:
    keys: dict[PartKind, str] = {}
    if take.imu is not None:
        # The clock rests on the video's frame count too, so every source enters.
        keys["imu"] = imu_key(list(sources.values()), config=config, take=take)
        if config.imu.resampling == "window":
            keys["raw_imu"] = raw_imu_key(list(sources.values()), config=config, take=take)
    if spec is None:
        return keys
    if take.video is not None:
        video = [sources[path] for path in take.video.paths]
        keys["frames"] = frames_key(video, config=config, take=take, encoder=spec)
    if texts := _unique_texts(narrations):
        keys["text"] = text_key([sha256_hex(t.encode()) for t in texts], encoder=spec)
    return keys


def _said(spec: EmbeddingSpec | None) -> str:
    return "none" if spec is None else spec.model_dump_json()


def _unique_texts(narrations: Sequence[Narration]) -> list[str]:
    return sorted({n.text for n in narrations if n.text})


def _describe(error: Exception) -> str:
    """Return what an error nobody foresaw says and where it rose, the same on every machine."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    said = re.sub(r" at 0x[0-9a-fA-F]+", "", said)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {said} [{Path(place.filename).name}:{place.lineno}]"


def _without_root(detail: str, *, root: Path) -> str:
    # The longer first: one may end in the other (/private/tmp/ds and /tmp/ds, or a relative ds).
    for prefix in sorted({str(root.resolve()), str(root)}, key=len, reverse=True):
        detail = re.sub(rf"(?<![\w./-]){re.escape(prefix)}/", "", detail)
    return detail


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
