"""Hours by hand-given rates, in closed form."""

from typing import Any

import pytest

from pipelines.pricing.estimate import (
    Cluster,
    TimePrice,
    needed_rates,
    price_stages,
    price_time,
)
from pipelines.pricing.rates import Line, Rates, Together
from pipelines.pricing.survey import TakeCount
from schemas.errors import UsageError

RATES = Rates(
    stages={
        "take": Line(per_take=1.0),
        "fingerprint": Line(per_item=1 / 1000),
        "check": Line(per_item=1 / 500),
        "imu": Line(per_item=1 / 100),
        "frames": Line(per_item=1 / 10, per_take=2.0),
        "frames:full": Line(per_item=1.0),
        "text": Line(per_item=1 / 4),
        "audit": Line(per_item=1 / 20),
        "assemble": Line(per_item=1 / 50),
        "publish": Line(per_item=1 / 100),
    },
    part_bytes={"imu": Line(per_item=50), "frames": Line(per_item=1000), "text": Line(per_item=9)},
    cpu={"frames": 2.0},
    fixed={"start": 10.0, "task": 0.5},
)


def make_count(uid: str = "a", **overrides: Any) -> TakeCount:
    fields: dict[str, Any] = {
        "take_uid": uid,
        "planned": 9,
        "rows": 8,
        "span_ns": 10**10,
        "variant": "448",
        "frames": 100,
        "samples": 500,
        "sentences": 4,
        "files": 2,
        "source_bytes": 5000,
        "video_bytes": 3000,
        "imu_bytes": 2000,
        "fingerprint_bytes": 4000,
        "kinds": ("imu", "frames", "text"),
    }
    return TakeCount(**{**fields, **overrides})


COLD_S = 1 + 4 + 5 + (10 + 2) + 1 + 5
"""One take's worker seconds: clock, fingerprint, imu, frames, text, audit."""


def here(workers: int = 1, cores: int = 64, **overrides: Any) -> Cluster:
    return Cluster(workers=workers, cores=cores, **overrides)


def price(
    counts: list[TakeCount], cluster: Cluster, rates: Rates = RATES, size: int = 1
) -> TimePrice:
    uids = [count.take_uid for count in counts]
    batches = [uids[i : i + size] for i in range(0, len(uids), size)]
    return price_time(counts, rates=rates, cluster=cluster, batches=batches)


def test_one_cold_take_on_one_worker() -> None:
    got = price([make_count()], here())
    assert got.start_s == 10
    assert got.takes_s == pytest.approx(COLD_S + 0.5)
    assert got.publish_s == pytest.approx(8 / 50 + 8 / 100)
    assert got.total_s == pytest.approx(10 + COLD_S + 0.5 + 0.24)
    assert got.bottleneck == "workers"


def test_libraries_load_where_parts_are_made() -> None:
    rates = RATES.model_copy(update={"fixed": {"start": 10.0, "warm_up": 4.0}})
    assert price([make_count()], here(), rates).start_s == 14
    warm = make_count(there={"imu": 300, "frames": 600, "text": 100}, audited=True)
    assert price([warm], here(), rates).start_s == 10


def test_what_is_there_is_only_checked() -> None:
    warm = make_count(there={"imu": 300, "frames": 600, "text": 100}, audited=True)
    assert warm.done
    assert price([warm], here()).takes_s == pytest.approx(1 + 4 + 2 + 0.5)
    half = make_count(there={"imu": 300, "text": 200})
    assert half.missing == ("frames",)
    # Its audit rests on the frames that are made anew.
    assert price([half], here()).takes_s == pytest.approx(1 + 4 + 1 + 12 + 5 + 0.5)


def test_a_picture_has_a_rate_of_its_own() -> None:
    extra = (100 * 1.0) - 12
    got = price([make_count(variant="full")], here())
    assert got.takes_s == pytest.approx(COLD_S + 0.5 + extra)


def test_quarantined_and_empty_takes_cost_their_clock_alone() -> None:
    counts = [
        TakeCount(take_uid="a", reason="vrs_missing", planned=5),
        TakeCount(take_uid="b", planned=2, drops={"narration_outside_take": 2}),
    ]
    got = price(counts, here())
    assert got.takes_s == pytest.approx(2 * 1.0 + 2 * 0.5)
    assert got.publish_s == 0
    assert got.bottleneck == "start"
    assert [stage.stage for stage in price_stages(counts, rates=RATES)] == []


def test_batches_go_to_whoever_is_free() -> None:
    # Six takes of 28.5 s in batches of two on two workers: the third batch comes after the first.
    counts = [make_count(f"{i}") for i in range(6)]
    got = price(counts, here(workers=2), size=2)
    assert got.takes_s == pytest.approx(2 * (2 * COLD_S + 0.5))
    assert got.worker_s == pytest.approx(6 * COLD_S + 1.5)
    assert got.longest_batch_s == pytest.approx(2 * COLD_S + 0.5)
    spread = price(counts, here(workers=6))
    assert spread.takes_s == pytest.approx(COLD_S + 0.5)
    assert price(counts, here(workers=100), size=6).bottleneck == "longest batch"


def test_cores_hold_workers_up() -> None:
    counts = [make_count(f"{i}") for i in range(8)]
    got = price(counts, here(workers=8, cores=2))
    # Frames keep two cores busy, so that a take has 12 s of processor more than of worker.
    assert got.bounds["cores"] == pytest.approx(8 * (COLD_S + 12) / 2)
    assert got.takes_s == got.bounds["cores"]
    assert got.bottleneck == "cores"


def test_threads_of_one_process_lose_what_was_measured() -> None:
    rates = RATES.model_copy(update={"together": Together(workers=2, slowdown=1.5)})
    counts = [make_count(f"{i}") for i in range(2)]
    apart = price(counts, here(workers=2), rates)
    threads = price(counts, here(workers=2, shared_process=True), rates)
    assert threads.takes_s == pytest.approx(1.5 * apart.takes_s)


def test_a_cluster_elsewhere_scales_the_frames_alone() -> None:
    rates = RATES.model_copy(update={"threads": 2})
    more = Cluster(workers=1, cores=8, here=False)
    fewer = Cluster(workers=1, cores=1, here=False)
    given = rates.model_copy(update={"by_hand": ("frames",)})
    assert price([make_count()], more, given).takes_s == pytest.approx(COLD_S + 0.5)
    # Twelve seconds on two threads are three on eight cores, and 24 of processor on one.
    assert price([make_count()], more, rates).takes_s == pytest.approx(COLD_S + 0.5 - 12 + 3)
    assert price([make_count()], fewer, rates).takes_s == pytest.approx(COLD_S + 0.5 + 12)


def test_gpus_encode_for_all_workers() -> None:
    rates = RATES.model_copy(
        update={
            "by_hand": ("frames.decode", "frames.encode"),
            "stages": {
                **RATES.stages,
                "frames.decode": Line(per_item=1 / 50),
                "frames.encode": Line(per_item=1 / 25),
            },
        }
    )
    counts = [make_count(f"{i}") for i in range(40)]
    cluster = Cluster(workers=40, cores=80, gpus=1, here=False)
    got = price(counts, cluster, rates)
    assert got.bounds["gpus"] == pytest.approx(40 * 100 / 25)
    assert got.bottleneck == "gpus"
    # A worker's own time is that of its encoding where the GPU is free: the slower of the two.
    assert got.bounds["workers"] == pytest.approx(COLD_S + 0.5 - 12 + 4)
    four = price(counts, cluster.model_copy(update={"gpus": 20}), rates)
    assert four.bounds["gpus"] == pytest.approx(8)
    assert four.bottleneck == "workers"


def test_gpus_without_their_rates_are_refused() -> None:
    cluster = Cluster(workers=2, cores=4, gpus=1, here=False)
    stages = {**RATES.stages, "frames.decode": Line(), "frames.encode": Line()}
    on_cpu = RATES.model_copy(update={"stages": stages})
    for rates in (RATES, on_cpu, RATES.model_copy(update={"device_kind": "cuda"})):
        with pytest.raises(UsageError, match=r"gpus need rates of decoding, and of encoding on"):
            price([make_count()], cluster, rates)
    on_gpu = on_cpu.model_copy(update={"device_kind": "cuda"})
    assert price([make_count()], cluster, on_gpu).takes_s == pytest.approx(COLD_S + 0.5 - 12)


def test_storage_gives_no_more_than_it_can() -> None:
    rates = RATES.model_copy(update={"storage_bytes_s": 10.0})
    got = price([make_count()], here(), rates)
    assert got.takes_s == pytest.approx((4000 + 3000 + 2000) / 10)
    assert got.bottleneck == "storage"


def test_publishing_is_shared_by_jobs_of_many_rows() -> None:
    few = price([make_count(rows=10_000)], here(workers=4))
    many = price([make_count(rows=100_000)], here(workers=4))
    assert few.publish_s == pytest.approx(10_000 / 50 + 10_000 / 100)
    assert many.publish_s == pytest.approx(100_000 / 50 / 4 + 100_000 / 100)


def test_a_missing_rate_is_named() -> None:
    bare = Rates(stages={"take": Line(per_take=1.0)})
    with pytest.raises(UsageError, match=r"must hold one for fingerprint, got none; give --rates"):
        price([make_count()], here(), bare)


def test_stages_say_items_bytes_and_worker_time() -> None:
    counts = [
        make_count("a"),
        make_count("b", there={"imu": 300, "frames": 600, "text": 100}, audited=True),
        TakeCount(take_uid="c", reason="vrs_missing"),
    ]
    stages = {stage.stage: stage for stage in price_stages(counts, rates=RATES)}
    frames = stages["frames"]
    assert (frames.items, frames.to_do, frames.unit) == (200, 100, "frames")
    assert (frames.bytes_in, frames.bytes_out) == (3000, 100_000)
    assert frames.worker_seconds == pytest.approx(12)
    assert frames.per_second == pytest.approx(100 / 12)
    assert (stages["check"].items, stages["check"].bytes_in) == (1000, 1000)
    assert (stages["text"].items, stages["text"].to_do) == (8, 4)
    assert stages["imu"].bytes_out == 25_000
    assert stages["fingerprint"].to_do == 8000
    assert stages["assemble"].items == 16
    assert "raw_imu" not in stages


def test_lags_that_nobody_asks_for_cost_nothing() -> None:
    silent = make_count(audited=None)
    assert "audit" not in needed_rates([silent])
    assert price([silent], here()).worker_s == pytest.approx(COLD_S - 5 + 0.5)


def test_needed_rates_are_those_of_what_is_left() -> None:
    warm = make_count(there={"imu": 1, "frames": 1, "text": 1}, audited=True)
    always = {"start", "take", "fingerprint", "check", "assemble", "publish"}
    assert needed_rates([warm]) == always
    assert needed_rates([make_count()]) == (always - {"check"}) | {"imu", "frames", "text", "audit"}
