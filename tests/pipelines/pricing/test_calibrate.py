"""Which clips are measured and what follows from them, with clips of known cost."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.align.clock import TakeClock
from pipelines.config import PrepConfig
from pipelines.datasets.base import Catalogue, ImuRecording
from pipelines.outcome import TakeOutcome
from pipelines.parts.store import PartStore
from pipelines.pricing import calibrate as module
from pipelines.pricing.calibrate import Calibration, calibrate
from pipelines.pricing.clips import Clip, PreparedClip
from pipelines.pricing.survey import TakeCount
from schemas.errors import PrimusError, TakeError
from schemas.take import Take, VideoStream
from schemas.time import NS_PER_S, Interval
from tests.factories import make_config, make_narration, make_take

BAD = "take-3"


class Reader:
    """Takes of a hundred seconds."""

    name = "egoexo4d"

    def read_catalogue(self) -> Catalogue:
        raise AssertionError

    def read_clock(self, take: Take) -> TakeClock:
        return TakeClock.identity(Interval(0, 100 * NS_PER_S))

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        raise AssertionError(take)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Replace the work: frames cost 1 s a take and 0.1 s each, half as much again side by side."""
    calls: list[tuple[str, str]] = []

    def prepare(clip: Clip, *, parts: PartStore, **_rest: Any) -> PreparedClip:
        uid, name = clip.take.take_uid, parts.root.name
        calls.append((name, uid))
        if uid == BAD:
            raise TakeError("imu_missing", "no sample")
        frames = round(clip.seconds * 10)
        warm = calls.count((name, uid)) > 1 and name == "long"
        cost = 0.0 if warm else 1.0 + 0.1 * frames
        if name.startswith("beside"):
            cost *= 1.5
        elif name == "cold":
            cost += 7.0
        return PreparedClip(
            clip=clip,
            outcome=TakeOutcome(take_uid=uid, status="ready", made=() if warm else ("imu",)),
            items={"frames": frames, "check": 200 if warm else 0},
            seconds={"frames": cost, "check": 0.5 if warm else 0.0},
            cpu_s=2 * cost,
            wall_s=cost,
            sizes={"frames": 1000 * frames + 50},
        )

    monkeypatch.setattr(module, "prepare_clip", prepare)
    return calls


def run(
    tmp_path: Path, uids: list[str], *, budget_s: float = 3000.0, **execution: Any
) -> Calibration:
    config: PrepConfig = make_config(tmp_path / "store", execution=execution)
    variants = {uid: "full" if uid == "take-9" else "448" for uid in uids}
    takes = tuple(
        make_take(uid, video=VideoStream(path=f"{uid}.mp4", variant=variants[uid])) for uid in uids
    )
    counts = [TakeCount(take_uid=uid, rows=3, variant=variants[uid]) for uid in uids]
    return calibrate(
        config,
        reader=Reader(),
        catalogue=Catalogue(takes=takes, narrations=dict.fromkeys(uids, (make_narration(2.0),))),
        counts=[*counts, TakeCount(take_uid="x", reason="vrs_missing"), TakeCount(take_uid="y")],
        encoder=None,
        folder=tmp_path / "clips",
        budget_s=budget_s,
    )


def test_known_costs_come_out(tmp_path: Path, prepared: list[tuple[str, str]]) -> None:
    uids = [f"take-{i}" for i in (0, 1, 2, 4, 5, 6)]
    made = run(tmp_path, uids, executor="threads", workers=2)
    rates = made.rates
    # A short stretch of 6 s and long ones of the whole 100 s.
    assert [round(one.clip.seconds) for one in made.shorts] == [6]
    assert [round(one.clip.seconds) for one in made.longs] == [100, 100, 100]
    # Of six takes the second, fourth and sixth.
    assert [one.clip.take.take_uid for one in made.longs] == ["take-1", "take-4", "take-6"]
    assert rates.line("frames").per_take == pytest.approx(1.0)
    assert rates.line("frames").per_item == pytest.approx(0.1)
    assert rates.part_bytes["frames"].at(40) == pytest.approx(40_050)
    assert rates.line("check").at(200) == pytest.approx(0.5)
    assert rates.cpu == {"frames": pytest.approx(2.0)}
    assert rates.fixed == {"warm_up": pytest.approx(7.0)}
    assert rates.together.workers == 2
    assert rates.together.slowdown == pytest.approx(1.5)
    assert rates.takes == 3
    beside = [uid for name, uid in prepared if name == "beside-1"]
    assert beside == ["take-4", "take-6", "take-1"]


def test_each_kind_of_picture_is_measured(tmp_path: Path, prepared: list[tuple[str, str]]) -> None:
    made = run(tmp_path, ["take-1", "take-9"], executor="inline")
    assert {"frames", "frames:448", "frames:full"} <= made.rates.stages.keys()
    assert made.rates.together.workers == 1
    assert not any(name.startswith("beside") for name, _ in prepared)


def test_a_small_budget_measures_short_stretches(
    tmp_path: Path, prepared: list[tuple[str, str]]
) -> None:
    made = run(tmp_path, ["take-1"], budget_s=1.0, executor="inline")
    assert [round(one.clip.seconds) for one in made.longs] == [6]
    # Without a second length the cost is taken to be proportional: never less than was seen.
    assert made.rates.line("frames").at(60) == pytest.approx(7.0)
    assert made.rates.line("frames").per_take == 0


def test_takes_that_cannot_be_prepared_are_passed_over(
    tmp_path: Path, prepared: list[tuple[str, str]]
) -> None:
    made = run(tmp_path, [BAD, "take-5"], executor="inline")
    assert [one.clip.take.take_uid for one in made.longs] == ["take-5"]
    with pytest.raises(PrimusError, match="at least one take must be preparable"):
        run(tmp_path, [BAD], executor="inline")
