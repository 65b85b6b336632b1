"""Dask's workers and scheduler killed at repeatable moments: the next run publishes what it would.

What is killed is real: processes, by SIGKILL.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.prepare import prepare
from pipelines.config import PrepConfig
from pipelines.stores.verify import verify_version
from pipelines.synthetic.egoexo4d import write_egoexo4d
from tests.integration.conftest import make_config
from tests.integration.dask_programs import DaskPrograms, start_dask
from tests.integration.kills import (
    PREP,
    family,
    kill_moments,
    started,
    wait_until,
    wait_until_gone,
)

SEED = 5
# Of a machine that does much else.
START_S = 300.0
ROOT = Path(__file__).parents[2]


def run_command(dataset: Path, *, encoder: Path, store: Path, more: list[str]) -> list[str]:
    return [
        *PREP, "run", "--dataset", "egoexo4d", "--root", str(dataset), "--store", str(store),
        "--encoder", str(encoder), "--executor", "dask", "--workers", "2", "--json",
        *(part for setting in (
            "encoder.precision=float32", "splits.shares=[0.5, 0.0, 0.5]", "execution.batch_takes=1",
            "execution.threads=1",
        ) for part in ("--set", setting)),
        *more,
    ]  # fmt: skip


def frames_parts(store: Path) -> int:
    return len(list(store.glob("parts/frames/*/*.arrow")))


def last_words(folder: Path) -> str:
    """Return the program's own lines on standard error, without its progress."""
    lines = (folder / "err.txt").read_text().splitlines()
    return "\n".join(line for line in lines if not line.startswith(("takes:", "publish")))


def resumed(config: PrepConfig) -> tuple[str, int]:
    """Return the version that ``run`` publishes after all, and how many takes it computed."""
    summary = prepare(config)
    assert verify_version(Path(summary.store), summary.version) == []
    return summary.version, summary.computed_takes


@pytest.mark.slow
def test_a_dead_worker_costs_nothing_and_a_dead_scheduler_one_more_run(
    small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    reference = prepare(make_config(small_dataset, encoder=tiny_encoder, store=tmp_path / "one"))
    store = tmp_path / "store"
    with start_dask(tmp_path / "dask", workers=2) as programs:
        command = run_command(
            small_dataset,
            encoder=tiny_encoder,
            store=store,
            more=["--dask-address", programs.address],
        )
        with started(command, folder=tmp_path / "run") as process:
            wait_until(
                lambda: frames_parts(store) >= 1 or process.poll() is not None, timeout_s=START_S
            )
            programs.workers[0].kill()
            # Two more by the one that is left: the batch of the dead one is among the next.
            wait_until(
                lambda: frames_parts(store) >= 3 or process.poll() is not None, timeout_s=START_S
            )
            programs.kill_scheduler()
            assert process.wait(timeout=120) == 1
    words = last_words(tmp_path / "run")
    assert words.count("\n") == 0, words
    assert "the Dask scheduler must stay until the run ends, it is gone [tcp://127.0.0.1" in words
    done = frames_parts(store)
    assert 3 <= done < 8
    config = make_config(small_dataset, encoder=tiny_encoder, store=store)
    version, computed = resumed(config)
    assert version == reference.version
    assert computed <= 8 - done + 1


@pytest.mark.slow
def test_nothing_outlives_a_driver_that_is_killed(
    small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    command = run_command(small_dataset, encoder=tiny_encoder, store=store, more=["--workers", "1"])
    with started(command, folder=tmp_path / "run") as process:
        wait_until(
            lambda: frames_parts(store) >= 1 or process.poll() is not None, timeout_s=START_S
        )
        members = family(process)
        # The driver, Prefect's server, Dask's worker and what multiprocessing keeps beside it.
        assert len(members) >= 3
        process.kill()
        process.wait(timeout=30)
        assert wait_until_gone(members, timeout_s=30) == []


@pytest.fixture(scope="module")
def twelve_takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("twelve")
    write_egoexo4d(root, takes=12, seconds=12.0, seed=23, participants=3, workers=2)
    return root


@pytest.fixture(scope="module")
def twelve_version(
    twelve_takes: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> str:
    store = tmp_path_factory.mktemp("reference") / "store"
    return prepare(make_config(twelve_takes, encoder=tiny_encoder, store=store)).version


def kill_a_worker_of(process: "subprocess.Popen[bytes]") -> None:
    """Kill one of the worker processes that a driver has started for itself."""
    workers = [m for m in family(process) if "spawn_main" in " ".join(m.cmdline())]
    # The last of those that still run, if any does.
    for worker in workers[-1:]:
        worker.kill()


@pytest.mark.long
@pytest.mark.parametrize("number", range(7))
def test_a_killed_worker_of_this_machine_is_started_anew(
    number: int, twelve_takes: Path, twelve_version: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    moment_s = kill_moments(seed=SEED, count=7, shortest_s=0.0, longest_s=12.0)[number]
    store = tmp_path / "store"
    command = run_command(twelve_takes, encoder=tiny_encoder, store=store, more=[])
    with started(command, folder=tmp_path / "run") as process:
        # From the workers' own start on: also while they warm up.
        wait_until(
            lambda: len(family(process)) >= 4 or process.poll() is not None, timeout_s=START_S
        )
        time.sleep(moment_s)
        try:
            kill_a_worker_of(process)
        except psutil.NoSuchProcess:
            assert process.wait(timeout=300) == 0
        assert process.wait(timeout=300) == 0, last_words(tmp_path / "run")
        summary = json.loads((tmp_path / "run" / "out.txt").read_text())
    assert summary["version"] == twelve_version
    assert summary["quarantined_takes"] == {}
    config = make_config(twelve_takes, encoder=tiny_encoder, store=store)
    assert resumed(config) == (twelve_version, 0)


@pytest.mark.long
@pytest.mark.parametrize("number", range(7))
def test_after_a_killed_scheduler_a_new_one_goes_on(
    number: int, twelve_takes: Path, twelve_version: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    moment_s = kill_moments(seed=SEED + 1, count=7, shortest_s=0.0, longest_s=10.0)[number]
    store = tmp_path / "store"

    def run(programs: DaskPrograms, folder: Path, *, kill: bool) -> int:
        more = ["--dask-address", programs.address]
        command = run_command(twelve_takes, encoder=tiny_encoder, store=store, more=more)
        with started(command, folder=folder) as process:
            if kill:
                wait_until(
                    lambda: (store / "parts").exists() or process.poll() is not None,
                    timeout_s=START_S,
                )
                time.sleep(moment_s)
                programs.kill_scheduler()
            return process.wait(timeout=300)

    with start_dask(tmp_path / "first", workers=2) as programs:
        code = run(programs, tmp_path / "killed", kill=True)
    words = last_words(tmp_path / "killed")
    if code:
        assert code == 1
        assert words.count("\n") == 0, words
        # Gone before the run had found it, or meanwhile.
        told = ("must be of a scheduler that answers", "must stay until the run ends, it is gone")
        assert any(said in words for said in told), words
    with start_dask(tmp_path / "second", workers=2) as programs:
        assert run(programs, tmp_path / "again", kill=False) == 0
    summary = json.loads((tmp_path / "again" / "out.txt").read_text())
    assert summary["version"] == twelve_version


@pytest.mark.long
def test_without_workers_a_run_ends_with_a_sentence(
    small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    with start_dask(tmp_path / "dask", workers=1) as programs:
        command = run_command(
            small_dataset,
            encoder=tiny_encoder,
            store=store,
            more=["--dask-address", programs.address, "--set", "execution.worker_timeout_s=3"],
        )
        with started(command, folder=tmp_path / "run") as process:
            wait_until(
                lambda: frames_parts(store) >= 1 or process.poll() is not None, timeout_s=START_S
            )
            programs.workers[0].kill()
            assert process.wait(timeout=60) == 1
    words = last_words(tmp_path / "run")
    assert words.count("\n") == 0, words
    assert "must have a worker, it had none for 3 s [tcp://127.0.0.1" in words
    assert "start workers" in words


DEADLY = """
import os, signal, sys
from flows import store_flow
from flows.cli import main
from flows.tasks import run_batch

def deadly(config, take_uids, encoder, run):
    if {uid!r} in take_uids:
        os.kill(os.getpid(), signal.SIGKILL)
    return run_batch(config, take_uids, encoder, run)

if __name__ == "__main__":
    store_flow.run_batch = deadly
    sys.exit(main())
"""


@pytest.mark.long
def test_a_take_that_kills_its_workers_is_found_and_the_rest_published(
    small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    reference = prepare(make_config(small_dataset, encoder=tiny_encoder, store=tmp_path / "one"))
    takes = json.loads((small_dataset / "takes.json").read_text())
    uid = sorted(take["take_uid"] for take in takes)[3]
    program = tmp_path / "deadly.py"
    program.write_text(DEADLY.format(uid=uid))
    store = tmp_path / "store"
    command = run_command(
        small_dataset,
        encoder=tiny_encoder,
        store=store,
        # Innocent takes share its batch, and workers with it.
        more=["--set", "execution.batch_takes=3", "--workers", "1"],
    )
    command[: len(PREP)] = [sys.executable, str(program)]
    environment = {
        "PYTHONPATH": str(ROOT),
        # Twice, not four times, until Dask gives a task up.
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    }
    with started(command, folder=tmp_path / "run", environment=environment) as process:
        assert process.wait(timeout=300) == 0, last_words(tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "out.txt").read_text())
    assert summary["quarantined_takes"] == {"worker_killed": 1}
    record = json.loads((store / "parts" / "state" / f"{uid}.json").read_text())
    assert "execution.memory_limit" in json.dumps(record)
    # Once it does not kill any more, it is computed and nothing else.
    config = make_config(small_dataset, encoder=tiny_encoder, store=store)
    assert resumed(config) == (reference.version, 1)


@pytest.mark.long
def test_workers_without_memory_enough_are_said_to_lack_it(
    small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    command = run_command(
        small_dataset,
        encoder=tiny_encoder,
        store=tmp_path / "store",
        more=["--workers", "1", "--set", "execution.memory_limit=150MB"],
    )
    with started(command, folder=tmp_path / "run") as process:
        assert process.wait(timeout=300) == 1
    words = last_words(tmp_path / "run")
    assert words.count("\n") == 0, words
    assert "execution.memory_limit" in words
