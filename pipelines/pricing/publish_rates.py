"""Measure what a version costs by take: the same few takes published once, and many times over."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pipelines.config import PrepConfig
from pipelines.pricing.calibrate import LONG, SHORT, Calibration
from pipelines.pricing.clips import PreparedClip
from pipelines.pricing.rates import Rates, fit_line
from pipelines.pricing.timed_publish import publish_timed
from pipelines.profile.work import WorkMeter
from pipelines.stores.prepared_takes import PreparedTake, make_prepared_take
from schemas.embedding import EmbeddingSpec
from schemas.errors import PrimusError
from schemas.store import SEGMENTS, version_path

__all__ = ["measure_publish"]

_COPIES: Final = 16
_IN_JOBS: Final = ("assemble", "arrays")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Published:
    takes: int
    rows: int
    wall_s: float
    jobs_s: float
    table_bytes: int


def measure_publish(
    calibration: Calibration, *, config: PrepConfig, spec: EmbeddingSpec | None, folder: Path
) -> Rates:
    """Return the calibration's rates with those of ``assemble`` and ``publish``.

    ``assemble`` is what the jobs do that workers share, ``publish`` what the driver does for each
    take beside them. What a version costs whatever it holds is part of a run's start.

    Args:
        calibration: of the takes' stages.
        config: of the run.
        spec: of its encoder.
        folder: that the calibration was made in.
    """
    shared: list[tuple[float, float]] = []
    alone: list[tuple[float, float]] = []
    tables: list[tuple[float, float]] = []
    for name, clips in ((SHORT, calibration.shorts), (LONG, calibration.longs)):
        store = {"uri": str(folder / f"store-{name}"), "parts": str(folder / name)}
        moved = config.model_copy(update={"store": config.store.model_copy(update=store)})
        try:
            once, often = (
                _publish(clips, copies=copies, config=moved, spec=spec)
                for copies in (1, 1 + _COPIES)
            )
        except PrimusError:
            # Nothing of so short a stretch could be stored, as where its IMU begins late.
            continue
        takes, rows = often.takes - once.takes, often.rows - once.rows
        shared.append((rows / takes, max(0.0, often.jobs_s - once.jobs_s) / takes))
        own_s = (often.wall_s - often.jobs_s) - (once.wall_s - once.jobs_s)
        alone.append((rows / takes, max(0.0, own_s) / takes))
        # Copies shrink to nothing in a table; takes as they are do not.
        tables.append((once.rows, once.table_bytes))
    rates = calibration.rates
    stages = {**rates.stages, "assemble": fit_line(shared), "publish": fit_line(alone)}
    return rates.model_copy(update={"stages": stages, "table_bytes": fit_line(tables)})


def _publish(
    clips: Sequence[PreparedClip], *, copies: int, config: PrepConfig, spec: EmbeddingSpec | None
) -> _Published:
    takes = [_copy(one, i) for one in clips for i in range(copies)]
    takes.sort(key=lambda prepared: prepared.take.take_uid)
    meter = WorkMeter()
    store = config.store.place
    began = time.perf_counter()
    published = publish_timed(
        store,
        takes=takes,
        config=config,
        spec=spec,
        sources=[source for one in clips for source in one.outcome.sources],
        meter=meter,
    )
    wall_s = time.perf_counter() - began
    work = meter.work()
    table = store / version_path(published.version, SEGMENTS)
    return _Published(
        takes=len(takes),
        rows=published.counts.stored,
        wall_s=wall_s,
        jobs_s=sum(work[stage].seconds for stage in _IN_JOBS if stage in work),
        table_bytes=table.stat().st_size,
    )


def _copy(one: PreparedClip, i: int) -> PreparedTake:
    take = one.clip.take
    return make_prepared_take(
        replace(take, take_uid=f"{take.take_uid} {i:03}"),
        outcome=one.outcome,
        narrations=one.clip.narrations,
        split=None,
    )
