"""Status is told from records and listings; oracles are counted by hand."""

import shutil
import time
from pathlib import Path

import pytest

from pipelines.state.records import record_path, write_record
from pipelines.state.run_state import RunState, write_run_state
from pipelines.state.status import read_status
from schemas.store import canonical_json
from tests.pipelines.state.runs import KEY, bad, make_config, ready, write_part

UIDS = ["a", "b", "c", "d", "e", "f"]


def make_run(run: str = "r1") -> RunState:
    return RunState(run=run, executor="threads", workers=2, takes=6, began_ns=0, seen_ns=0)


def test_takes_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    size = write_part(config)
    other = "cd" * 32
    frames = write_part(config, "frames", other)
    write_record(config, ready("a"), run="r", seconds=3.0)
    write_record(config, ready("b", keys={"imu": KEY, "frames": other}), run="r", seconds=5.0)
    write_record(
        config, ready("c", status="empty", keys={}, made=(), segments=0), run="r", seconds=0.1
    )
    write_record(config, bad("d", "source_unreadable"), run="r", seconds=1.0)
    write_record(config, bad("e"), run="r", seconds=1.0)
    status = read_status(config, UIDS)
    takes = status.takes
    assert (takes.all, takes.done, takes.left, takes.quarantined) == (6, 3, 1, 2)
    assert status.planned_segments == 10
    assert {k: (v.files, v.bytes) for k, v in status.parts.items()} == {
        "imu": (1, size),
        "frames": (1, frames),
    }
    assert [(r.reason, r.takes, r.segments) for r in status.quarantined] == [
        ("source_unreadable", 1, 3),
        ("vrs_missing", 1, 3),
    ]
    assert all(r.meaning and r.remedy for r in status.quarantined)
    # Takes that took 3 and 5 s were made; of one left, one worker of four has work.
    assert (status.eta_s, status.eta_from) == (4.0, "last_hour")
    assert status.run is None


def test_a_take_whose_part_is_gone_is_left(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    write_part(config)
    write_record(config, ready("a"), run="r", seconds=3.0)
    assert read_status(config, ["a"]).takes.done == 1
    shutil.rmtree(config.parts_root / "imu")
    assert read_status(config, ["a"]).takes.left == 1


def test_other_windows_leave_a_take_done_but_an_empty_one_open(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    write_part(config)
    write_record(config, ready("a"), run="r", seconds=3.0)
    write_record(config, ready("b", status="empty", keys={}), run="r", seconds=3.0)
    status = read_status(make_config(tmp_path, segments__length_ms=4000), ["a", "b"])
    assert (status.takes.done, status.takes.left) == (1, 1)
    assert status.planned_segments == 0
    assert read_status(make_config(tmp_path, imu__rate_hz=100), ["a", "b"]).takes.left == 2


def test_nothing_on_record_is_all_left(tmp_path: Path) -> None:
    status = read_status(make_config(tmp_path), UIDS)
    assert (status.takes.left, status.eta_s, status.eta_from) == (6, None, "unknown")
    assert status.parts == {}
    assert status.versions == ()


@pytest.mark.parametrize(
    ("run", "eta_s", "eta_from"),
    [
        # Four takes are left. Of this run: one take of 8 s, on 2 workers.
        pytest.param("r2", 16.0, "this_run", id="at_work"),
        # Another run has made none yet: those of the last hour, 8 s again, on its 2 workers.
        pytest.param("r3", 16.0, "last_hour", id="just_begun"),
        # None is at work: the config's 4 workers.
        pytest.param(None, 8.0, "last_hour", id="none_at_work"),
    ],
)
def test_the_rest_is_told_by_the_newest_takes(
    tmp_path: Path, run: str | None, eta_s: float, eta_from: str
) -> None:
    config = make_config(tmp_path)
    write_part(config)
    write_record(config, ready("a"), run="r1", seconds=100.0)
    old = record_path(config, "a")
    text = old.read_text()
    at = str(time.time_ns() - 2 * 3600 * 10**9)
    record = text.partition('"at_ns":')
    old.write_text(record[0] + record[1] + at + "," + record[2].partition(",")[2])
    write_record(config, ready("b"), run="r2", seconds=8.0)
    if run is not None:
        write_run_state(config, make_run(run))
    status = read_status(config, UIDS)
    assert (status.eta_s, status.eta_from) == (eta_s, eta_from)


def test_only_old_takes_tell_where_there_are_no_others(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    write_part(config)
    write_record(config, ready("a"), run="r1", seconds=10.0)
    later = time.time_ns() + 2 * 3600 * 10**9
    status = read_status(config, UIDS, now_ns=later)
    assert (status.eta_s, status.eta_from) == (12.5, "records")
    write_record(config, ready("a", made=()), run="r1", seconds=0.01)
    assert read_status(config, UIDS, now_ns=later).eta_s is None


def test_a_run_is_at_work_while_it_gives_signs_of_life(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    seen = write_run_state(config, make_run())
    for later_s, going_on in ((5, True), (59, True), (61, False)):
        run = read_status(config, UIDS, now_ns=seen.seen_ns + later_s * 10**9).run
        assert run is not None
        assert (run.going_on, run.seen_s_ago, run.ended) == (going_on, later_s, "")
    ended = write_run_state(config, seen.model_copy(update={"ended": "stopped", "said": "why"}))
    run = read_status(config, UIDS, now_ns=ended.seen_ns).run
    assert run is not None
    assert (run.going_on, run.ended, run.said) == (False, "stopped", "why")


@pytest.mark.slow
def test_a_thousand_takes_take_seconds(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    write_part(config)
    write_record(config, ready("a"), run="r", seconds=1.0)
    text = record_path(config, "a").read_bytes()
    uids = [f"take-{i}" for i in range(1000)]
    for uid in uids:
        Path(str(record_path(config, uid))).write_bytes(
            text.replace(b'"take_uid":"a"', b'"take_uid":' + canonical_json(uid))
        )
    began = time.perf_counter()
    assert read_status(config, uids).takes.done == 1000
    assert time.perf_counter() - began < 10
