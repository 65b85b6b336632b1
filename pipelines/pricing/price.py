"""The whole answer to what a run costs, for a person and for a program."""

import shutil
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.config import PrepConfig
from pipelines.pricing.estimate import Cluster, StagePrice, TimePrice, price_stages, price_time
from pipelines.pricing.rates import Rates
from pipelines.pricing.sizes import part_layout, version_bytes
from pipelines.pricing.survey import TakeCount
from pipelines.storage.places import Place, is_local
from schemas.embedding import EmbeddingSpec

__all__ = ["Price", "price_run"]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TakePrice(_Closed):
    """The takes of a run."""

    all: int
    done: int = Field(description="all parts are there")
    to_do: int = Field(description="some part is missing")
    empty: int = Field(description="no segment is planned in them")
    quarantined: dict[str, int] = Field(description="reason: takes, told before any work")
    hours: float = Field(description="of those that have segments")


class QuarantinedTake(_Closed):
    """A take that the run would quarantine."""

    take_uid: str
    reason: str
    detail: str


class SegmentPrice(_Closed):
    """The segments of a run."""

    planned: int
    rows: int = Field(description="to be assembled: at most as many are stored")
    dropped: dict[str, int] = Field(description="reason: segments the plan alone drops")
    quarantined: int = Field(description="of takes that are")


class BytePrice(_Closed):
    """What is read and written."""

    source: int = Field(description="of all files of all usable takes")
    read: int = Field(description="at most, with what is done left out")
    parts: int = Field(description="of all parts once the run is done")
    parts_to_write: int
    version: int
    free: int | None = Field(
        description="where the store goes; None in an object store, which has no end"
    )
    fits: bool


class Price(_Closed):
    """What ``primus-prep plan`` reports."""

    dataset: str
    store: str
    takes: TakePrice
    quarantined_takes: tuple[QuarantinedTake, ...]
    segments: SegmentPrice
    stages: tuple[StagePrice, ...]
    bytes: BytePrice
    time: TimePrice
    cluster: Cluster
    rates: Rates
    rates_from: Literal["measured", "kept", "given"]


def price_run(
    counts: Sequence[TakeCount],
    *,
    config: PrepConfig,
    spec: EmbeddingSpec | None,
    rates: Rates,
    rates_from: Literal["measured", "kept", "given"],
    cluster: Cluster,
    batches: Sequence[Sequence[str]],
    catalogue_s: float = 0.0,
) -> Price:
    """Return what a run costs.

    Args:
        counts: of every take.
        config: of the run.
        spec: of its encoder; None without one.
        rates: of one worker.
        rates_from: where they come from.
        cluster: who does the work.
        batches: take uids of each task, in the order they are given out.
        catalogue_s: seconds that reading the dataset's metadata takes.

    Raises:
        UsageError: as ``price_time``.
    """
    layout = part_layout(config, spec=spec)
    # The driver reads the catalogue, and its workers after it.
    start_s = rates.fixed.get("start", 0.0) + 2 * catalogue_s
    filled = rates.model_copy(
        update={
            "part_bytes": {**layout, **rates.part_bytes},
            "fixed": {**rates.fixed, "start": start_s},
        }
    )
    usable = [count for count in counts if not count.reason]
    full = [count for count in usable if count.rows]
    stages = price_stages(counts, rates=filled)
    rows = sum(count.rows for count in full)
    to_write = sum(stage.bytes_out for stage in stages)
    version = version_bytes(rows, config=config, spec=spec, table=filled.table_bytes)
    free = _free_bytes(config.store.place)
    drops: Counter[str] = Counter()
    for count in usable:
        drops.update(count.drops)
    return Price(
        dataset=config.dataset.name,
        store=config.store.uri,
        takes=TakePrice(
            all=len(counts),
            done=sum(count.done for count in full),
            to_do=sum(not count.done for count in full),
            empty=len(usable) - len(full),
            quarantined=dict(sorted(Counter(c.reason for c in counts if c.reason).items())),
            hours=sum(count.span_ns for count in full) / 3600e9,
        ),
        quarantined_takes=tuple(
            QuarantinedTake(take_uid=c.take_uid, reason=c.reason, detail=c.detail)
            for c in counts
            if c.reason
        ),
        segments=SegmentPrice(
            planned=sum(count.planned for count in counts),
            rows=rows,
            dropped=dict(sorted(drops.items())),
            quarantined=sum(count.planned for count in counts if count.reason),
        ),
        stages=tuple(stages),
        bytes=BytePrice(
            source=sum(count.source_bytes for count in full),
            read=sum(stage.bytes_in for stage in stages),
            parts=to_write + sum(sum(count.there.values()) for count in full),
            parts_to_write=to_write,
            version=version,
            free=free,
            fits=free is None or to_write + version <= free,
        ),
        time=price_time(counts, rates=filled, cluster=cluster, batches=batches),
        cluster=cluster,
        rates=filled,
        rates_from=rates_from,
    )


def _free_bytes(store: Place) -> int | None:
    if not is_local(store):
        return None
    folder = store.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
