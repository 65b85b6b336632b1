"""The parts one take needs: their keys, and the making of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.align.clock import TakeClock
from pipelines.config import PrepConfig
from pipelines.datasets.base import DatasetReader
from pipelines.encoders.base import FrozenEncoder
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
from pipelines.profile.work import WorkMeter
from pipelines.segments.policies import TakePlan
from pipelines.video.grid import needed_grid
from schemas.embedding import EmbeddingSpec
from schemas.manifest import SourceEntry
from schemas.narration import Narration
from schemas.store import sha256_hex
from schemas.take import Take
from schemas.time import grid_ns

__all__ = [
    "TakeJob",
    "part_keys",
    "read_sources",
    "source_paths",
    "wanted_grid",
    "write_part",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeJob:
    """One take, and all that its parts are made from."""

    take: Take
    clock: TakeClock
    plan: TakePlan
    narrations: Sequence[Narration]
    """Of this take, cleaned."""
    sources: Mapping[str, SourceEntry]
    """By path."""
    reader: DatasetReader
    encoder: FrozenEncoder | None
    """None makes the imu part alone."""
    config: PrepConfig


def source_paths(take: Take) -> tuple[str, ...]:
    """Return every file that decides a take's parts, each once, relative to the dataset root."""
    paths = [
        *(take.imu.paths if take.imu is not None else ()),
        *(take.video.paths if take.video is not None else ()),
        *take.clock_paths,
    ]
    return tuple(dict.fromkeys(paths))


def read_sources(take: Take, *, config: PrepConfig) -> dict[str, SourceEntry]:
    """Return size and fingerprint of every file that decides a take's parts, by path.

    Raises:
        TakeError: as ``read_source``.
    """
    root, follow_links = config.dataset.root, config.dataset.follow_links
    return {
        path: read_source(root, take.take_uid, path, follow_links=follow_links)
        for path in source_paths(take)
    }


def wanted_grid(plan: TakePlan, *, config: PrepConfig) -> npt.NDArray[np.int64] | None:
    """Return the grid times (G,) that a take's frames part covers; None for the whole take."""
    if config.video.coverage == "all":
        return None
    return needed_grid(
        plan.rows["start_ns"].to_numpy(),
        plan.rows["end_ns"].to_numpy(),
        step_ns=config.video.step_ns,
    )


def part_keys(
    take: Take,
    *,
    plan: TakePlan,
    sources: Mapping[str, SourceEntry],
    narrations: Sequence[Narration],
    config: PrepConfig,
    spec: EmbeddingSpec | None,
) -> dict[PartKind, str]:
    """Return the key of each part that a take needs.

    Args:
        take: as the catalogue has it.
        plan: its segments.
        sources: as of ``read_sources``.
        narrations: of it, cleaned.
        config: of the run.
        spec: of the run's encoder; None without one.
    """
    keys: dict[PartKind, str] = {}
    if take.imu is not None:
        # The clock rests on the video's frame count too, so every source enters.
        keys["imu"] = imu_key(list(sources.values()), config=config, take=take)
        if config.imu.resampling == "window":
            keys["raw_imu"] = raw_imu_key(list(sources.values()), config=config, take=take)
    if spec is None:
        return keys
    if take.video is not None:
        keys["frames"] = frames_key(
            [sources[path] for path in take.video.paths],
            config=config,
            take=take,
            encoder=spec,
            grid=wanted_grid(plan, config=config),
        )
    if texts := _unique_texts(narrations):
        keys["text"] = text_key([sha256_hex(t.encode()) for t in texts], encoder=spec)
    return keys


def write_part(
    kind: PartKind, key: str, *, job: TakeJob, parts: PartStore, meter: WorkMeter
) -> None:
    """Make one part of a take.

    Args:
        kind: of the part.
        key: of the part.
        job: the take.
        parts: where the part goes.
        meter: told of the stages of that name: seconds, items, bytes.

    Raises:
        TakeError: if the take's data does not allow it.
        ValueError: if the part needs an encoder and the job has none.
    """
    with meter.timed(kind):
        _write(kind, key, job=job, parts=parts, meter=meter)
    if kind == "frames":
        # Counted where the frames are.
        return
    items, bytes_in = _read_for(kind, job)
    bytes_out = parts.path(kind, key).stat().st_size
    meter.add(kind, items=items, bytes_in=bytes_in, bytes_out=bytes_out)


def _write(kind: PartKind, key: str, *, job: TakeJob, parts: PartStore, meter: WorkMeter) -> None:
    take, config, span = job.take, job.config, job.clock.span
    if kind == "imu":
        recording = open_imu(job.reader, take, job.clock, config=config.imu)
        write_imu_part(parts, key, recording=recording, span=span, config=config.imu)
    elif kind == "raw_imu":
        recording = open_imu(job.reader, take, job.clock, config=config.imu)
        write_raw_imu_part(parts, key, recording=recording, span=span)
    elif job.encoder is None:
        raise ValueError(f"a {kind} part needs an encoder")
    elif kind == "frames" and take.video is not None:
        write_frames_part(
            parts,
            key,
            paths=[
                take_path(config.dataset.root, path, follow_links=config.dataset.follow_links)
                for path in take.video.paths
            ],
            span=span,
            config=config.video,
            encoder=job.encoder,
            motion=config.audit.enabled,
            grid=wanted_grid(job.plan, config=config),
            threads=config.execution.threads_per_worker,
            meter=meter,
        )
    else:
        write_text_part(parts, key, texts=_unique_texts(job.narrations), encoder=job.encoder)


def _read_for(kind: PartKind, job: TakeJob) -> tuple[int, int]:
    """Return items and bytes that a part is made from: points of the imu grid, sentences."""
    if kind == "text":
        texts = _unique_texts(job.narrations)
        return len(texts), sum(len(text.encode()) for text in texts)
    paths = job.take.imu.paths if job.take.imu is not None else ()
    points = len(grid_ns(job.clock.span, step_ns=job.config.imu.step_ns))
    return points, sum(job.sources[path].size for path in paths)


def _unique_texts(narrations: Sequence[Narration]) -> list[str]:
    return sorted({n.text for n in narrations if n.text})
