"""From counts and rates to hours: what a run takes on a cluster, and what holds it up."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from pipelines.pricing.rates import ITEM_OF, Line, Rates
from pipelines.pricing.survey import TakeCount
from pipelines.stores.version_jobs import JOB_ROWS
from schemas.errors import UsageError

__all__ = ["Cluster", "StagePrice", "TimePrice", "needed_rates", "price_stages", "price_time"]

_PART_ITEMS: Final[Mapping[str, str]] = {
    "imu": "samples",
    "raw_imu": "samples",
    "frames": "frames",
    "text": "sentences",
}
_PUBLISH: Final = ("assemble", "publish")


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cluster(_Closed):
    """Who would do the work."""

    workers: int = Field(ge=1, description="that prepare takes side by side")
    cores: int = Field(ge=1, description="of all workers together")
    gpus: int = Field(default=0, ge=0, description="shared by all workers, for encoding alone")
    here: bool = Field(default=True, description="this machine, by the config's own executor")
    shared_process: bool = Field(
        default=False, description="the workers are threads of one process"
    )

    @property
    def cores_per_worker(self) -> float:
        """Cores that a worker has to itself."""
        return self.cores / self.workers


class StagePrice(_Closed):
    """One stage over all takes."""

    stage: str
    unit: str
    items: int = Field(description="in all")
    to_do: int = Field(description="of these, not done yet")
    bytes_in: int = Field(description="read at most, for what is to do")
    bytes_out: int = Field(description="written, for what is to do")
    per_second: float | None = Field(description="items a second of one worker; None: nothing done")
    worker_seconds: float = Field(description="of one worker after the other")


class TimePrice(_Closed):
    """Wall seconds of a run, and what fills them."""

    start_s: float = Field(description="imports, encoder, workers, and the end of the program")
    takes_s: float
    publish_s: float
    total_s: float
    worker_s: float = Field(description="work of all workers, one after the other")
    longest_batch_s: float = Field(description="no number of workers is faster than this")
    bounds: dict[str, float] = Field(
        description="seconds of the takes by each resource, were it alone: the largest holds"
    )
    bottleneck: str = Field(description="what fills most of the time")
    hint: str = Field(description="one sentence about it")


def price_stages(counts: Sequence[TakeCount], *, rates: Rates) -> list[StagePrice]:
    """Return what each stage has to do over all takes, in the order of a run."""
    usable = [count for count in counts if not count.reason and count.rows]
    prices: list[StagePrice] = []
    for stage, unit in ITEM_OF.items():
        if "." in stage:
            continue
        items = to_do = takes = 0
        bytes_in = bytes_out = 0
        seconds = 0.0
        for count in usable:
            needed, left = _items(count, stage)
            items += needed
            to_do += left
            if left == 0:
                continue
            takes += 1
            seconds += _line(rates, stage, count).at(left)
            bytes_in += _bytes_in(count, stage)
            bytes_out += round(_bytes_out(count, stage, rates))
        if items == 0:
            continue
        prices.append(
            StagePrice(
                stage=stage,
                unit=unit,
                items=items,
                to_do=to_do,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
                per_second=to_do / seconds if seconds else None,
                worker_seconds=seconds,
            )
        )
    return prices


def price_time(
    counts: Sequence[TakeCount],
    *,
    rates: Rates,
    cluster: Cluster,
    batches: Sequence[Sequence[str]],
) -> TimePrice:
    """Return how long the run takes on a cluster.

    Takes go in batches to whichever worker is free, as in a run. That schedule is stretched by
    what workers were measured to lose beside each other, and it is never faster than all the
    processor time on all cores, all encoding on all GPUs, or all bytes through the storage.

    Args:
        counts: of every take.
        rates: of one worker.
        cluster: who does it.
        batches: take uids of each task, in the order they are given out.

    Raises:
        UsageError: if GPUs are to encode and no rate says how fast.
    """
    on_gpu = rates.device_kind == "cuda" or "frames.encode" in rates.by_hand
    if cluster.gpus and not (on_gpu and {"frames.decode", "frames.encode"} <= rates.names):
        raise UsageError(
            "gpus need rates of decoding, and of encoding on such a GPU, got none; "
            "give them as --rates frames.decode=N --rates frames.encode=N"
        )
    by_uid = {count.take_uid: _take_work(count, rates=rates, cluster=cluster) for count in counts}
    task_s = rates.fixed.get("task", 0.0)
    tasks = [task_s + sum(by_uid[uid]["worker"] for uid in batch) for batch in batches]
    work = by_uid.values()
    slowdown = rates.together.at(cluster.workers) if cluster.shared_process else 1.0
    spread = _schedule(tasks, workers=cluster.workers) * slowdown
    bounds = {"workers": spread}
    if cluster.here:
        # Workers elsewhere have cores of their own, and share none.
        bounds["cores"] = sum(one["cpu"] for one in work) / cluster.cores
    if cluster.gpus:
        bounds["gpus"] = sum(one["gpu"] for one in work) / cluster.gpus
    if rates.storage_bytes_s is not None:
        total = sum(_bytes_in(c, s) for c in counts for s in ITEM_OF if _items(c, s)[1])
        bounds["storage"] = total / rates.storage_bytes_s
    takes_s = max(bounds.values())
    start_s = rates.fixed.get("start", 0.0)
    if any(count.missing for count in counts):
        start_s += rates.fixed.get("warm_up", 0.0)
    rows = sum(count.rows for count in counts if not count.reason)
    # Jobs of publishing are some thousand rows each.
    hands = max(1, min(cluster.workers, cluster.cores, rows // JOB_ROWS))
    publish_s = sum(
        _seconds(count, "publish", rates) + _seconds(count, "assemble", rates) / hands
        for count in counts
    )
    longest = max(tasks, default=0.0) * slowdown
    shares = {"start": start_s, "takes": takes_s, "publish": publish_s}
    bottleneck = max(shares, key=lambda name: shares[name])
    if bottleneck == "takes":
        bottleneck = max(bounds, key=lambda name: bounds[name])
        even = sum(tasks) / cluster.workers * slowdown
        if bottleneck == "workers" and spread > 1.5 * even:
            bottleneck = "longest batch"
    total_s = sum(shares.values())
    return TimePrice(
        start_s=start_s,
        takes_s=takes_s,
        publish_s=publish_s,
        total_s=total_s,
        worker_s=sum(tasks),
        longest_batch_s=longest,
        bounds=bounds,
        bottleneck=bottleneck,
        hint=_HINTS[bottleneck],
    )


_HINTS: Final[Mapping[str, str]] = {
    "start": "starting the program, its workers and encoder takes longest: more workers help "
    "nothing here",
    "publish": "publishing takes longest, and one program does it",
    "workers": "the workers are busy throughout: more of them make it shorter",
    "longest batch": "one batch of takes lasts longer than the others' fair share: a smaller "
    "execution.batch_takes makes it shorter, more workers do not",
    "cores": "the cores are busy throughout: more workers on the same cores help nothing",
    "gpus": "the GPUs encode throughout: more of them make it shorter",
    "storage": "the storage gives its bytes throughout: more workers help nothing",
}


def needed_rates(counts: Sequence[TakeCount]) -> set[str]:
    """Return the names of the rates that pricing these takes asks for."""
    stages = (stage for stage in ITEM_OF if "." not in stage)
    return {"start"} | {
        stage for stage in stages if any(_items(count, stage)[1] for count in counts)
    }


def _take_work(count: TakeCount, *, rates: Rates, cluster: Cluster) -> dict[str, float]:
    """Return a take's seconds of a worker, of a core and of a GPU."""
    worker = cpu = gpu = 0.0
    for stage in ITEM_OF:
        if stage in _PUBLISH or "." in stage:
            continue
        if stage == "frames" and cluster.gpus:
            decode = _seconds(count, "frames", rates, line="frames.decode")
            encode = _seconds(count, "frames", rates, line="frames.encode")
            decode_s = _on_cluster(decode, stage="frames.decode", rates=rates, cluster=cluster)
            # The encoder has one batch while the decoder fills the next.
            worker += max(decode_s, encode)
            cpu += decode
            gpu += encode
            continue
        seconds = _seconds(count, stage, rates)
        worker += _on_cluster(seconds, stage=stage, rates=rates, cluster=cluster)
        cpu += seconds * rates.cpu.get(stage, 1.0)
    return {"worker": worker, "cpu": cpu, "gpu": gpu}


def _on_cluster(seconds: float, *, stage: str, rates: Rates, cluster: Cluster) -> float:
    """Return what a measured stage takes a worker of the cluster.

    Decoding and encoding spread over a worker's cores, and are taken to go on scaling on more of
    them than they were measured with; on fewer they cannot be faster than their processor time.
    The other stages have one core whatever there is.
    """
    if cluster.here or stage in rates.by_hand or not stage.startswith("frames"):
        return seconds
    cores = cluster.cores_per_worker
    busy = seconds * rates.cpu.get(stage, float(rates.threads))
    if cores >= rates.threads:
        return seconds * rates.threads / cores
    return max(seconds, busy / cores)


def _schedule(tasks: Sequence[float], *, workers: int) -> float:
    """Return when the last worker is through, each taking the next batch when it is free."""
    free = [0.0] * workers
    for seconds in tasks:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def _items(count: TakeCount, stage: str) -> tuple[int, int]:
    """Return the items of a take's stage, and how many of them are still to do."""
    if stage == "take":
        # A clock is opened even where nothing comes of it.
        return 1, 1
    if count.reason or not count.rows:
        return 0, 0
    if stage == "fingerprint":
        return count.fingerprint_bytes, count.fingerprint_bytes
    if stage == "check":
        here = sum(count.there.values())
        return here, here
    if stage in _PUBLISH:
        return count.rows, count.rows
    if stage == "audit":
        both = count.audited is not None and {"imu", "frames"} <= set(count.kinds)
        fresh = not count.audited or "frames" in count.missing or "imu" in count.missing
        return (count.frames, count.frames if fresh else 0) if both else (0, 0)
    if stage in _PART_ITEMS:
        if stage not in count.kinds:
            return 0, 0
        items: int = getattr(count, _PART_ITEMS[stage])
        return items, items if stage in count.missing else 0
    return 0, 0


def _line(rates: Rates, stage: str, count: TakeCount) -> Line:
    try:
        return rates.line(stage, variant=count.variant if stage.startswith("frames") else "")
    except KeyError as error:
        raise UsageError(
            f"rates must hold one for {stage}, got none; give --rates {stage}=N "
            f"({ITEM_OF[stage]} a second), or leave --rates out to have all measured"
        ) from error


def _seconds(count: TakeCount, stage: str, rates: Rates, *, line: str | None = None) -> float:
    items = _items(count, stage)[1]
    if items == 0:
        return 0.0
    return _line(rates, line or stage, count).at(items)


def _bytes_in(count: TakeCount, stage: str) -> int:
    if stage == "fingerprint":
        return count.fingerprint_bytes
    if stage == "check":
        return sum(count.there.values())
    if stage == "frames":
        return count.video_bytes
    return count.imu_bytes if stage in ("imu", "raw_imu") else 0


def _bytes_out(count: TakeCount, stage: str, rates: Rates) -> float:
    if stage not in _PART_ITEMS:
        return 0.0
    return rates.part_bytes.get(stage, Line()).at(getattr(count, _PART_ITEMS[stage]))
