"""The recordings of next to nothing on which start-up is timed."""

import os
import select
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows import start_up
from flows.start_up import measure_start, write_nothing_dataset
from pipelines.config import load_config
from pipelines.datasets.registry import open_reader
from schemas.errors import PrimusError
from schemas.time import NS_PER_S


def test_the_recordings_are_read_like_any_others(tmp_path: Path) -> None:
    write_nothing_dataset(tmp_path / "ds", takes=3)
    config = load_config(
        None,
        overrides={
            "dataset.name": "folder",
            "dataset.root": str(tmp_path / "ds"),
            "store.uri": str(tmp_path / "s"),
        },
    )
    reader = open_reader(config.dataset, imu=config.imu, video=config.video, text=config.text)
    catalogue = reader.read_catalogue()
    assert [take.take_uid for take in catalogue.takes] == ["0", "1", "2"]
    assert catalogue.faults == {}
    clock = reader.read_clock(catalogue.takes[1])
    assert clock.span.duration_ns == pytest.approx(6 * NS_PER_S, rel=0.01)
    (run,) = reader.read_imu(catalogue.takes[1], clock).runs
    assert run.accel.values[:, 2].mean() == pytest.approx(9.81, abs=0.01)
    files = {path.read_bytes() for path in (tmp_path / "ds").glob("*.parquet")}
    assert len(files) == 3


@pytest.mark.parametrize(
    ("executor", "address", "seconds", "takes", "fixed"),
    [
        pytest.param("inline", None, [11.0, 9.0], [1, 1], {"start": 9.0, "task": 0.0}, id="inline"),
        pytest.param(
            "threads", None, [14.0, 12.0], [3, 3], {"start": 12.0, "task": 0.0}, id="threads"
        ),
        # Eight more tasks a worker took 4 s, and each worker had one in the first run.
        pytest.param(
            "dask", None, [20.0, 15.0, 19.0], [3, 3, 27], {"start": 14.5, "task": 0.5}, id="dask"
        ),
        pytest.param(
            "dask", "tcp://x:1", [11.0, 9.0], [3, 3], {"start": 9.0, "task": 0.0}, id="elsewhere"
        ),
    ],
)
def test_start_and_task_follow_from_runs(
    executor: str,
    address: str | None,
    seconds: list[float],
    takes: list[int],
    fixed: dict[str, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def run(folder: Path, *, takes: int, execution: dict[str, Any], encoder: Any) -> float:
        assert execution["executor"] == ("threads" if address else executor)
        assert execution["dask_address"] is None
        asked.append(takes)
        return seconds[len(asked) - 1]

    monkeypatch.setattr(start_up, "_run", run)
    config = load_config(
        None,
        overrides={
            "dataset.name": "folder",
            "dataset.root": "unused",
            "store.uri": "unused",
            "execution.executor": executor,
            "execution.workers": 3,
            "execution.dask_address": address,
        },
    )
    assert measure_start(config, folder=tmp_path) == fixed
    assert asked == takes


def test_no_job_is_submitted_to_price_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(folder: Path, *, takes: int, execution: dict[str, Any], encoder: Any) -> float:
        assert (execution["executor"], execution["cluster"]) == ("threads", "local")
        return 1.0

    monkeypatch.setattr(start_up, "_run", run)
    config = load_config(
        None,
        overrides={
            "dataset.name": "folder",
            "dataset.root": "unused",
            "store.uri": "unused",
            "execution.executor": "dask",
            "execution.cluster": "slurm",
        },
    )
    assert measure_start(config, folder=tmp_path) == {"start": 1.0, "task": 0.0}


@pytest.mark.slow
def test_a_run_that_cannot_start_says_why(tmp_path: Path) -> None:
    config = load_config(
        None,
        overrides={
            "dataset.name": "folder",
            "dataset.root": "unused",
            "store.uri": "unused",
            "encoder.name": str(tmp_path / "no-encoder"),
            "execution.executor": "inline",
        },
    )
    with pytest.raises(PrimusError, match=r"got exit code 2 and: primus-prep: .*no-encoder"):
        measure_start(config, folder=tmp_path)


def test_a_run_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    ends: list[int] = []

    def wait_in_vain(_run: object, timeout: float) -> None:
        # Opens as soon as what the run started has the other end.
        ends.append(os.open(held, os.O_RDONLY))
        raise subprocess.TimeoutExpired("run", timeout)

    monkeypatch.setattr(subprocess.Popen, "communicate", wait_in_vain)
    with pytest.raises(PrimusError, match=r"start-up must take less than 300 s, it took longer"):
        start_up._call(["sh", "-c", f"sleep 120 > {shlex.quote(str(held))} & wait"])
    (end,) = ends
    # Readable, with nothing to read, once nobody has the other end any more.
    readable, _, _ = select.select([end], [], [], 60)
    assert readable == [end]
    assert os.read(end, 1) == b""
    os.close(end)
