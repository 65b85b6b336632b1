"""Workers as processes; small programs stand for them, as the real one is in test_study.py."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from primus_train.studies import pool
from primus_train.studies.plan import make_plan
from primus_train.studies.schedule import Schedule
from primus_train.studies.settings import StudySettings
from schemas.errors import StorageError

Cheap = Callable[..., StudySettings]

ANSWERS = """#!{python}
import json, os, sys
assert int(os.environ["OMP_NUM_THREADS"]) >= 1
open("{log}", "a").write(f"{{os.getpid()}} {{os.environ.get('CUDA_VISIBLE_DEVICES')}}\\n")
for line in sys.stdin:
    order = json.loads(line)
    assert order["device"] == "auto"
    print(json.dumps({{"note": "half"}}))
    print(json.dumps({{"result": {{"reused": order["do"] == "fit"}}}}), flush=True)
"""


def stand_in(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(text)
    path.chmod(0o755)
    monkeypatch.setattr(pool.sys, "executable", str(path))


@pytest.fixture
def schedule(toy_store: Path, cheap: Cheap, tmp_path: Path) -> Schedule:
    return Schedule(make_plan(cheap("baselines", toy_store), out=tmp_path / "out"), workers=2)


def test_two_workers_do_all_on_a_device_each(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    stand_in(tmp_path / "w", ANSWERS.format(python=sys.executable, log=log), monkeypatch)
    pool.do_all(schedule, jobs=2, device="auto", devices=("4", "GPU-7"), inherit=())
    assert len(schedule.outcomes) == 10
    assert all(outcome.result is not None for outcome in schedule.outcomes.values())
    lines = [line.split() for line in log.read_text().splitlines()]
    # A process for all of a worker's orders; one may have had them all.
    assert 1 <= len(lines) <= 2
    assert {device for _, device in lines} <= {"4", "GPU-7"}
    for pid, _ in lines:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


@pytest.mark.parametrize(("death", "how"), [("exit 3", "exit code 3"), ("kill -9 $$", "signal 9")])
def test_a_worker_that_dies_costs_its_own_piece_of_work(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, death: str, how: str
) -> None:
    stand_in(tmp_path / "w", f"#!/bin/sh\nread order\n{death}\n", monkeypatch)
    pool.do_all(schedule, jobs=2, device="auto", devices=(), inherit=())
    reasons = {schedule.outcomes[key].reason for key in schedule.fits}
    assert reasons == {f"worker must answer, it ended by {how}: run the study again"}
    # Each was begun anew for the next.
    assert len(schedule.outcomes) == 10


@pytest.mark.parametrize(
    ("asked", "expected"), [(None, "2"), ("8", "2"), ("1", "1"), ("", "2"), ("4,2", "2")]
)
def test_workers_share_the_cores_and_take_no_more(
    schedule: Schedule,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    expected: str,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(5)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    log = tmp_path / "threads"
    stand_in(tmp_path / "w", f'#!/bin/sh\necho "$OMP_NUM_THREADS" >> {log}\nexit 1\n', monkeypatch)
    pool.do_all(schedule, jobs=2, device="auto", devices=(), inherit=())
    assert set(log.read_text().split()) == {expected}


def test_workers_that_cannot_start_are_told_of(
    schedule: Schedule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool.sys, "executable", str(tmp_path / "absent"))
    with pytest.raises(
        StorageError, match=r"workers must start, got .*absent.*: give fewer --jobs"
    ):
        pool.do_all(schedule, jobs=2, device="auto", devices=(), inherit=())


@pytest.mark.parametrize(
    ("named", "count", "expected"),
    [
        (None, 2, ("0", "1")),
        ("3,5", 2, ("3", "5")),
        ("GPU-a", 1, ("GPU-a",)),
        ("", 0, ()),
    ],
)
def test_devices_are_called_as_the_environment_calls_them(
    monkeypatch: pytest.MonkeyPatch, named: str | None, count: int, expected: tuple[str, ...]
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert pool.visible_devices() == expected
