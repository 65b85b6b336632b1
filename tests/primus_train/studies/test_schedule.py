import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from primus_train.studies.plan import FitTask, Plan, make_plan
from primus_train.studies.schedule import Schedule, counts, serve
from primus_train.studies.settings import StudySettings
from primus_train.studies.work import Note


@pytest.fixture
def plan(toy_store: Path, cheap: Callable[..., StudySettings]) -> Plan:
    return make_plan(cheap("baselines", toy_store), out=Path("out"))


def test_a_runs_probes_come_before_the_next_run(plan: Plan) -> None:
    done: list[tuple[str, str]] = []

    def runner(order: dict[str, Any], *, note: Note) -> dict[str, Any]:
        note("half")
        done.append((order["do"], order["run"] if order["do"] == "probe" else order["out"]))
        return {"result": {"reused": False}}

    told: list[tuple[int, int, str]] = []
    schedule = Schedule(plan, on_points=lambda *said: told.append(said))
    serve(schedule, runner)
    # SimCLR's encoder is probed, and trained from scratch for two numbers of shots.
    kinds = [kind for kind, _ in done]
    assert kinds == [*["fit", "probe"] * 2, *["fit", *["probe"] * 3], *["fit", "probe"]]
    run = ""
    for kind, folder in done:
        run = folder if kind == "fit" else run
        assert folder == run
    assert set(schedule.outcomes) == {*plan.fits, *plan.probes}
    assert told[-1][:2] == (10, 10)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert "PRIMUS: half" in told[0][2]


def test_what_two_studies_need_is_done_once(
    plan: Plan, toy_store: Path, cheap: Callable[..., StudySettings]
) -> None:
    other = make_plan(cheap("ablation", toy_store), out=Path("out"))
    shared = set(plan.fits) & set(other.fits)
    assert {plan.fits[key].title for key in shared} == {"PRIMUS", "IMU2CLIP", "SimCLR"}
    done: list[str] = []

    def runner(order: dict[str, Any], *, note: Note) -> dict[str, Any]:
        done.append(order["out"])
        return {"result": {"reused": False}}

    schedule = Schedule(plan, other)
    serve(schedule, runner)
    assert set(schedule.fits) == {*plan.fits, *other.fits}
    assert set(schedule.outcomes) == {*plan.fits, *other.fits, *plan.probes, *other.probes}
    # Four runs of one, seven of the other; their probes too are the same three times.
    assert len(done) == len(set(done)) == len(schedule.outcomes)
    assert len(schedule.fits) == 4 + 7 - 3
    assert list(schedule.fits)[:4] == list(plan.fits)
    assert {schedule.fits[key].title for key in shared} == {"PRIMUS", "IMU2CLIP", "SimCLR"}


def test_a_fault_costs_the_points_of_its_own_run_alone(plan: Plan) -> None:
    failing = next(iter(plan.fits))

    def runner(order: dict[str, Any], *, note: Note) -> dict[str, Any]:
        if order["do"] == "fit" and order["key"] == failing:
            return {"failed": "no room"}
        return {"result": {"reused": order["do"] == "fit"}}

    schedule = Schedule(plan)
    serve(schedule, runner)
    lost = {key for key, outcome in schedule.outcomes.items() if outcome.result is None}
    assert lost == {failing, *(k for k, task in plan.probes.items() if task.fit == failing)}
    assert schedule.outcomes[failing].reason == "no room"
    reasons = {schedule.outcomes[key].reason for key in lost - {failing}}
    assert reasons == {"its run failed: no room"}
    fits = [schedule.outcomes[key] for key in plan.fits]
    probes = [schedule.outcomes[key] for key in plan.probes]
    assert counts(fits) == {"computed": 0, "reused": 3, "failed": 1}
    assert counts(probes) == {"computed": 5, "reused": 0, "failed": 1}


def test_workers_share_the_work_and_wait_for_what_others_begin(plan: Plan) -> None:
    seen: list[str] = []
    lock = threading.Lock()

    def runner(order: dict[str, Any], *, note: Note) -> dict[str, Any]:
        with lock:
            seen.append(order["out"])
        return {"result": {"reused": False}}

    schedule = Schedule(plan)
    threads = [threading.Thread(target=serve, args=(schedule, runner)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)
    tasks = [*plan.fits.values(), *plan.probes.values()]
    assert sorted(seen) == sorted(str(task.folder.absolute()) for task in tasks)


def test_what_is_ended_begins_nothing_more(plan: Plan) -> None:
    schedule = Schedule(plan)
    assert isinstance(schedule.take(), FitTask)
    schedule.end()
    assert schedule.take() is None


def test_the_time_left_goes_by_what_was_made(plan: Plan) -> None:
    schedule = Schedule(plan, workers=2)
    first = schedule.take()
    assert first is not None
    schedule.finish(first, {"result": {"reused": False}}, seconds=10.0)
    assert schedule.seconds_left() is None  # nothing tells what a probe takes
    second = schedule.take()
    assert second is not None
    schedule.finish(second, {"result": {"reused": False}}, seconds=4.0)
    # Three more runs and five more probes, by two workers.
    assert schedule.seconds_left() == pytest.approx((3 * 10 + 5 * 4) / 2)
    third = schedule.take()
    assert third is not None
    schedule.finish(third, {"result": {"reused": True}}, seconds=0.1)
    # What was there already tells nothing of what has to be made.
    assert schedule.seconds_left() == pytest.approx((2 * 10 + 5 * 4) / 2)
