"""Measure the limits of a run on its own machine and files, and put its stages beside them."""

import time
from collections.abc import Callable, Mapping

from pipelines.config import PrepConfig
from pipelines.datasets.mirror import held_files
from pipelines.encoders.base import FrozenEncoder
from pipelines.parts.keys import take_path
from pipelines.profile.limits import (
    probe_decode,
    probe_encode,
    probe_encode_text,
    probe_read,
    probe_sha256,
    probe_write,
)
from pipelines.profile.report import make_profile
from pipelines.profile.work import StageWork
from pipelines.storage.files import write_atomic
from pipelines.storage.places import Place, is_local
from pipelines.stores.sealed import read_run_record, seal_run_record
from schemas.profile import Probe, RunProfile
from schemas.store import RUN, canonical_json, version_path
from schemas.take import Take

__all__ = ["measure_profile", "write_profile"]


def measure_profile(
    config: PrepConfig,
    *,
    work: Mapping[str, StageWork],
    takes: int,
    probed: Take | None,
    encoder: FrozenEncoder | None,
    seconds: Mapping[str, float],
    workers: int,
) -> RunProfile:
    """Return the run's profile; takes about two seconds for each limit.

    The driver's machine is measured, as soon as the run is over: where workers are other machines,
    theirs may have other limits.

    Args:
        config: of the run.
        work: stage: what it did, over all workers.
        takes: of the catalogue.
        probed: a take whose files were read; None leaves out what is measured on files.
        encoder: of the run.
        seconds: of the run, with ``catalogue``, ``start`` and ``total``.
        workers: that prepared takes side by side.

    Raises:
        TakeError: if a file of that take is gone meanwhile.
    """
    began = time.perf_counter()
    execution = config.execution
    with held_files(config.dataset.root):
        probes = _measure(config, take=probed, encoder=encoder)
    driver = {
        "catalogue": StageWork(seconds=seconds["catalogue"], items=takes),
        "start": StageWork(seconds=max(0.0, seconds["start"] - seconds["catalogue"])),
    }
    return make_profile(
        {**driver, **work},
        probes=probes,
        wall_seconds=seconds["total"],
        workers=workers,
        threads=execution.threads_per_worker,
        publish_workers=workers,
        probe_seconds=time.perf_counter() - began,
    )


def write_profile(store: Place, version: str, *, profile: RunProfile) -> None:
    """Add a profile to the run record beside a version.

    The record is of the making and no part of the version's identity, and its publishing is itself
    a stage of the profile: so it is written once more, whole, in one write.

    Raises:
        StoreDamagedError: if the record is not whole.
        StorageError: if it cannot be written.
    """
    record = read_run_record(store, version)
    sealed = seal_run_record(record.model_copy(update={"profile": profile}))
    write_atomic(store / version_path(version, RUN), canonical_json(sealed.model_dump(mode="json")))


def _measure(
    config: PrepConfig, *, take: Take | None, encoder: FrozenEncoder | None
) -> list[Probe]:
    root, threads = config.dataset.root, config.execution.threads_per_worker
    store = config.store.place
    video, imu = (take.video, take.imu) if take is not None else (None, None)
    probes: list[Callable[[], Probe | None]] = [
        probe_sha256,
        # Of an object store's network there is no limit to hold a stage against.
        lambda: probe_write(store) if is_local(store) else None,
    ]
    if (stream := video or imu) is not None:
        source = take_path(root, stream.path, follow_links=config.dataset.follow_links)
        probes.append(lambda: probe_read(source))
    if encoder is not None:
        if video is not None:
            path = take_path(root, video.path, follow_links=config.dataset.follow_links)
            probes.append(lambda: probe_decode(path, threads=threads, step_ns=config.video.step_ns))
            probes.append(lambda: probe_encode(encoder, lanes=threads))
        probes.append(lambda: probe_encode_text(encoder))
    return [found for probe in probes if (found := probe()) is not None]
