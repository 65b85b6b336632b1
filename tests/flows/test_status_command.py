"""Status in words: what stands in the way and how to mend it, and how long the rest takes."""

from pathlib import Path
from typing import Any

import pytest

from flows.status_command import print_status
from pipelines.state.records import write_record
from pipelines.state.status import RunStatus, read_status
from tests.pipelines.state.runs import bad, make_config, ready, write_part

RUN = {
    "going_on": True,
    "seen_s_ago": 4.0,
    "executor": "threads",
    "workers": 2,
    "ended": "",
    "said": "",
    "finished_takes": 3,
}


@pytest.fixture
def status(tmp_path: Path) -> RunStatus:
    config = make_config(tmp_path)
    write_part(config)
    write_record(config, ready("a"), run="r", seconds=30.0)
    write_record(config, bad("b", "vrs_missing"), run="r", seconds=1.0)
    return read_status(config, ["a", "b", "c", "d"])


def changed(status: RunStatus, **changes: Any) -> str:
    return print_status(RunStatus.model_validate({**status.model_dump(), **changes}))


def test_counts_reasons_and_remedies(status: RunStatus) -> None:
    lines = print_status(status).splitlines()
    assert lines[0] == "takes: 1 of 4 done, 2 left, 1 quarantined"
    assert "segments planned in them: 5" in lines
    assert "version: none published from this config" in lines
    (told,) = (line for line in lines if line.startswith("quarantined, vrs_missing: 1 takes. "))
    assert "retry" in told
    assert lines[-2:] == ["run: none on record", "left: about 30 s, by the takes of the last hour"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "run: at work (threads, 2 workers), 3 takes so far, seen 4 s ago"),
        (
            {"going_on": False, "seen_s_ago": 7200.0},
            "run: none at work; the last one (threads, 2 workers), 2.0 h ago: it gave no more sign "
            "of life: it was killed, or its machine is gone",
        ),
        (
            {"going_on": False, "seen_s_ago": 300.0, "ended": "failed", "said": "no room"},
            "run: none at work; the last one (threads, 2 workers), 5 min ago: no room",
        ),
    ],
)
def test_the_last_run_is_told(status: RunStatus, change: dict[str, Any], said: str) -> None:
    assert said in changed(status, run={**RUN, **change}).splitlines()


@pytest.mark.parametrize(
    ("eta_s", "eta_from", "said"),
    [
        (0.0, "nothing_left", "left: nothing"),
        (None, "unknown", "left: no take is timed yet; primus-prep plan prices the run"),
        (7200.0, "this_run", "left: about 2.0 h, by the takes of this run"),
    ],
)
def test_what_is_left_is_told(
    status: RunStatus, eta_s: float | None, eta_from: str, said: str
) -> None:
    assert changed(status, eta_s=eta_s, eta_from=eta_from).splitlines()[-1] == said
