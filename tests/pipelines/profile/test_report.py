"""The profile's arithmetic against figures worked out by hand."""

from typing import Any

import pytest

from pipelines.profile.report import make_profile, print_profile
from pipelines.profile.work import ITEMS, StageWork
from schemas.profile import Probe, RunProfile


def probe(name: str, per_s: float) -> Probe:
    return Probe(name=name, what=name, unit="units", per_s=per_s)


# Two workers of two threads each work for 10 s on a run of 20 s.
WORK = {
    "catalogue": StageWork(seconds=1.0, items=8),
    "start": StageWork(seconds=3.0),
    "fingerprint": StageWork(seconds=2.0, items=16, bytes_in=600),
    "imu": StageWork(seconds=4.0, items=4000, bytes_in=800, bytes_out=200),
    "frames": StageWork(seconds=24.0, items=1200, bytes_in=900),
    "frames.decode": StageWork(seconds=6.0, items=1200),
    "frames.encode": StageWork(seconds=30.0, items=1200),
    "seal": StageWork(seconds=1.0, items=5, bytes_out=100),
}
PROBES = (
    probe("read", 1000.0),
    probe("sha256", 500.0),
    probe("decode", 300.0),
    probe("encode", 50.0),
)


def make(**changed: Any) -> RunProfile:
    given: dict[str, Any] = {
        "probes": PROBES,
        "wall_seconds": 20.0,
        "workers": 2,
        "threads": 2,
        "publish_workers": 2,
        **changed,
    }
    return make_profile(WORK, **given)


def test_speeds_limits_and_fills_are_these() -> None:
    stages = {stage.stage: stage for stage in make().stages}
    frames = stages["frames"]
    assert frames.items_per_s == pytest.approx(50.0)
    # 1/300 s to decode a frame and 1/(2 * 50) s on two lanes to encode it.
    assert frames.limit_per_s == pytest.approx(75.0)
    assert frames.of_limit == pytest.approx(50 / 75)
    assert frames.fill == pytest.approx(24 / 2 / 20)
    assert stages["frames.decode"].of_limit == pytest.approx(200 / 300)
    assert stages["frames.encode"].of_limit == pytest.approx(40 / 50)
    # Read at 1000 and hashed at 500 bytes a second, one after the other: 1000/3.
    assert stages["fingerprint"].limit_per_s == pytest.approx(1000 / 3)
    assert stages["fingerprint"].of_limit == pytest.approx(300 / (1000 / 3))
    assert stages["imu"].bytes_per_s == pytest.approx(250.0)
    assert stages["imu"].of_limit == pytest.approx(0.2)
    assert (stages["seal"].limit_unit, stages["seal"].of_limit) == ("written", 0.2)
    # Driver's stages are one's alone; what stages on both workers leave is told too.
    assert stages["start"].fill == pytest.approx(3 / 20)
    accounted = (1 + 3 + 1) / 20 + (2 + 4 + 24) / 2 / 20
    assert stages["other"].fill == pytest.approx(1 - accounted)
    whole = [stage.fill for name, stage in stages.items() if "." not in name]
    assert sum(whole) == pytest.approx(1.0)


def test_the_bottleneck_is_named_with_its_share_its_limit_and_a_way_out() -> None:
    profile = make()
    assert profile.bottleneck == "frames.encode"
    assert profile.sentence == (
        "frames fills 60% of the run's time, 83% of its work is frames.encode, at 80% of the speed "
        "of the encoder alone: a GPU, bfloat16 or more workers would help"
    )
    # Ten times the workers at the same busy seconds: the driver alone is in the way.
    assert make(workers=40).bottleneck == "other"
    assert make(workers=40, wall_seconds=6.0).bottleneck == "start"


def test_without_probes_nothing_has_a_limit_and_a_table_is_still_a_table() -> None:
    profile = make(probes=())
    assert [stage.limit for stage in profile.stages] == [None] * len(profile.stages)
    assert [stage.of_limit for stage in profile.stages] == [None] * len(profile.stages)
    lines = print_profile(profile).splitlines()
    assert len(lines) == 1 + len(WORK) + 1 + 1
    assert lines[-1] == profile.sentence


def test_the_table_shows_what_a_person_looks_for() -> None:
    row = next(line for line in print_profile(make()).splitlines() if line.startswith("frames "))
    assert row.split() == [
        "frames", "24.00", "60.0%", "50", "frames", "3.75e-05", "75", "67%",
        "decoding", "and", "the", "encoder,", "each", "alone",
    ]  # fmt: skip


def test_stages_without_work_divide_by_nothing() -> None:
    work = {stage: StageWork() for stage in ITEMS}
    profile = make_profile(
        work, probes=PROBES, wall_seconds=1.0, workers=1, threads=1, publish_workers=1
    )
    assert profile.bottleneck == "other"
    assert all(stage.items_per_s is None and stage.of_limit is None for stage in profile.stages)


def test_a_run_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match=r"wall_seconds must be positive, got 0"):
        make(wall_seconds=0.0)
