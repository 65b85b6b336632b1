"""``primus-prep plan``: what a run would cost, told before it is made."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flows.chatter import send_native_stderr_to
from flows.commands import parse_settings, tell
from flows.progress import Progress
from pipelines.config import PrepConfig, load_config
from pipelines.datasets.base import Catalogue, DatasetReader
from pipelines.encoders.base import FrozenEncoder
from pipelines.pricing.estimate import Cluster
from pipelines.pricing.rates import Rates
from pipelines.pricing.survey import TakeCount
from pipelines.storage.places import is_local
from schemas.embedding import EmbeddingSpec
from schemas.errors import UsageError

__all__ = ["make_cluster", "run_plan"]

RatesFrom = Literal["measured", "kept", "given"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dataset:
    """What a run would be made of."""

    config: PrepConfig
    reader: DatasetReader
    catalogue: Catalogue
    encoder: FrozenEncoder | None
    counts: Sequence[TakeCount]
    catalogue_s: float

    @property
    def spec(self) -> EmbeddingSpec | None:
        return self.encoder.spec if self.encoder is not None else None


def run_plan(args: argparse.Namespace) -> int:
    """Price a run."""
    from flows.runners import split_batches
    from pipelines.pricing.price import price_run
    from pipelines.pricing.table import print_price

    config = _read_config(args)
    cluster = make_cluster(
        config, workers=args.workers, cores_per_worker=args.cores_per_worker, gpus=args.gpus
    )
    given = _read_given(config, words=args.rates)
    with _temporary_folder(config) as folder:
        if args.quiet:
            send_native_stderr_to(folder / "libraries.log")
        dataset = _survey(config, trust_sizes=args.trust_sizes)
        rates, rates_from = _find_rates(
            dataset, given=given, folder=folder, recalibrate=args.recalibrate
        )
    size = 1 if config.execution.executor == "inline" else config.execution.batch_takes
    price = price_run(
        dataset.counts,
        config=config,
        spec=dataset.spec,
        rates=rates,
        rates_from=rates_from,
        cluster=cluster,
        batches=split_batches(
            {count.take_uid: count.video_bytes + count.imu_bytes for count in dataset.counts},
            size=size,
            workers=cluster.workers,
        ),
        catalogue_s=dataset.catalogue_s,
    )
    return tell(args, price.model_dump(mode="json"), print_price(price))


def make_cluster(
    config: PrepConfig, *, workers: int | None, cores_per_worker: int | None, gpus: int
) -> Cluster:
    """Return who would do the work: this machine as the config has it, or a cluster elsewhere.

    Args:
        config: of the run.
        workers: of the cluster; None for the config's own.
        cores_per_worker: of a cluster elsewhere; None for this machine.
        gpus: that encode, of a cluster elsewhere.

    Raises:
        UsageError: if a number is not positive, or GPUs are asked of this machine.
    """
    execution = config.execution
    for name, number in (("workers", workers), ("cores-per-worker", cores_per_worker)):
        if number is not None and number < 1:
            raise UsageError(f"--{name} must be 1 or more, got {number}")
    if gpus < 0:
        raise UsageError(f"--gpus must be 0 or more, got {gpus}")
    if cores_per_worker is not None:
        count = workers if workers is not None else execution.workers
        return Cluster(workers=count, cores=count * cores_per_worker, gpus=gpus, here=False)
    if gpus:
        raise UsageError("--gpus prices a cluster and needs --cores-per-worker, got none")
    inline = execution.executor == "inline"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Cluster(
        workers=1 if inline else execution.workers,
        cores=cores or 1,
        shared_process=execution.executor == "threads",
    )


def _read_config(args: argparse.Namespace) -> PrepConfig:
    from flows.presets import read_preset

    given = {
        "dataset.name": args.dataset,
        "dataset.root": args.root,
        "dataset.limit": args.limit,
        "store.uri": args.store,
        "encoder.name": args.encoder,
        "execution.executor": args.executor,
        # Workers of a cluster elsewhere are none of this machine's.
        "execution.workers": args.workers if args.cores_per_worker is None else None,
    }
    overrides = {key: value for key, value in given.items() if value is not None}
    return load_config(
        args.config,
        overrides={**overrides, **parse_settings(args.settings)},
        base=read_preset(args.preset) if args.preset else None,
    )


def _read_given(config: PrepConfig, *, words: Sequence[str]) -> dict[str, float]:
    from pipelines.pricing.given_rates import parse_rates, read_rates

    return {**parse_rates(config.plan.rates), **read_rates(words)}


def _survey(config: PrepConfig, *, trust_sizes: bool) -> _Dataset:
    from pipelines.datasets.base import read_limited_catalogue
    from pipelines.datasets.registry import open_reader
    from pipelines.encoders.registry import open_encoder, open_pooler
    from pipelines.pricing.survey import survey_takes
    from pipelines.pricing.what_is_there import read_known_sources

    began = time.perf_counter()
    reader = open_reader(config.dataset, imu=config.imu, video=config.video, text=config.text)
    catalogue = read_limited_catalogue(reader, limit=config.dataset.limit)
    catalogue_s = time.perf_counter() - began
    if not catalogue.takes:
        raise UsageError(f"dataset must hold at least one take, got none [{config.dataset.source}]")
    encoder = open_encoder(config.encoder)
    open_pooler(config)
    with Progress("count", total=len(catalogue.takes), unit="takes") as progress:
        counts = survey_takes(
            config,
            reader=reader,
            catalogue=catalogue,
            spec=encoder.spec if encoder is not None else None,
            known=read_known_sources(config.store.place) if trust_sizes else None,
            progress=progress.to,
        )
    return _Dataset(
        config=config,
        reader=reader,
        catalogue=catalogue,
        encoder=encoder,
        counts=counts,
        catalogue_s=catalogue_s,
    )


def _find_rates(
    dataset: _Dataset, *, given: Mapping[str, float], folder: Path, recalibrate: bool
) -> tuple[Rates, RatesFrom]:
    """Return the rates of this run's stages: as given, and of the rest as kept or measured."""
    from pipelines.pricing.estimate import needed_rates
    from pipelines.pricing.given_rates import lay_over
    from pipelines.pricing.kept_rates import find_rates, keep_rates, rates_identity

    config, counts = dataset.config, dataset.counts
    needed = needed_rates(counts)
    if needed <= given.keys():
        return lay_over(Rates(), given), "given"
    identity = rates_identity(
        config, spec=dataset.spec, variants=sorted({c.variant for c in counts if c.variant})
    )
    kept = None if recalibrate else find_rates(config, identity=identity)
    if kept is not None and needed <= given.keys() | kept[0].names:
        return lay_over(kept[0], given), "kept"
    rates = _measure(dataset, folder=folder, start="start" not in given)
    keep_rates(config, identity=identity, rates=rates)
    return lay_over(rates, given), "measured"


def _measure(dataset: _Dataset, *, folder: Path, start: bool) -> Rates:
    from flows.start_up import measure_start
    from pipelines.datasets.mirror import held_files
    from pipelines.pricing.calibrate import calibrate
    from pipelines.pricing.publish_rates import measure_publish

    config = dataset.config

    def say(what: str) -> None:
        sys.stderr.write(f"measuring {what}\n")
        sys.stderr.flush()

    with held_files(config.dataset.root):
        calibration = calibrate(
            config,
            reader=dataset.reader,
            catalogue=dataset.catalogue,
            counts=dataset.counts,
            encoder=dataset.encoder,
            folder=folder / "clips",
            progress=say,
        )
    say("a version")
    rates = measure_publish(calibration, config=config, spec=dataset.spec, folder=folder / "clips")
    if not start:
        return rates
    say(f"how {config.execution.executor} starts and ends")
    fixed = measure_start(config, folder=folder / "start")
    return rates.model_copy(update={"fixed": {**rates.fixed, **fixed}})


@contextmanager
def _temporary_folder(config: PrepConfig) -> Iterator[Path]:
    """Yield an empty folder, on the disk of the parts where they go to one that is writable."""
    parts = config.parts_root
    place: Path | None = parts if is_local(parts) else None
    while place is not None and not place.is_dir():
        place = place.parent if place != place.parent else None
    if place is None or not os.access(place, os.W_OK):
        place = None
    with tempfile.TemporaryDirectory(prefix=".primus-plan-", dir=place) as folder:
        yield Path(folder)
