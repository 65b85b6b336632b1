"""Whoever does the work, in whatever order, killed or not: the same version comes out."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from flows.prepare import RunSummary, prepare
from flows.tasks import run_batch
from pipelines.encoders.registry import open_encoder
from pipelines.stores.verify import verify_version
from tests.integration.conftest import make_config
from tests.integration.dask_programs import start_dask
from tests.integration.fake_slurm import fake_slurm

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def undisturbed(
    small_dataset: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunSummary:
    store = tmp_path_factory.mktemp("inline") / "store"
    return prepare(make_config(small_dataset, encoder=tiny_encoder, store=store))


def version_bytes(store: str, version: str) -> dict[str, bytes]:
    folder = Path(store) / "versions" / version
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "run.json"]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def artifact_keys(prefect_home: Path) -> set[str]:
    with closing(sqlite3.connect(prefect_home / "prefect.db")) as database:
        return {key for (key,) in database.execute("SELECT key FROM artifact")}


def test_counts_reconcile_and_the_store_is_whole(undisturbed: RunSummary) -> None:
    lost = sum(undisturbed.dropped.values()) + sum(undisturbed.quarantined.values())
    assert undisturbed.planned == undisturbed.stored + lost
    assert undisturbed.stored > 40
    assert undisturbed.computed_takes == 8
    assert verify_version(Path(undisturbed.store), undisturbed.version) == []


def test_a_second_run_reuses_every_part(
    undisturbed: RunSummary, small_dataset: Path, tiny_encoder: Path
) -> None:
    store = Path(undisturbed.store)
    again = prepare(make_config(small_dataset, encoder=tiny_encoder, store=store))
    assert (again.version, again.computed_takes, again.reused_takes) == (undisturbed.version, 0, 8)


def test_new_windows_touch_no_video(
    undisturbed: RunSummary, small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    config = make_config(
        small_dataset,
        encoder=tiny_encoder,
        store=tmp_path / "store",
        store__parts=f"{undisturbed.store}/parts",
        segments__length_ms=4000,
    )
    shorter = prepare(config)
    assert shorter.computed_takes == 0
    assert shorter.version != undisturbed.version


@pytest.mark.parametrize(
    ("executor", "more", "artifacts"),
    [
        ("threads", ["--set", "execution.threads=2"], set()),
        # Take by take, publish jobs by workers, and measured on top of it.
        ("dask", ["--set", "execution.threads=1", "--profile"], {"profile"}),
    ],
)
def test_every_executor_publishes_the_same_bytes(
    executor: str,
    more: list[str],
    artifacts: set[str],
    undisturbed: RunSummary,
    small_dataset: Path,
    tiny_encoder: Path,
    tmp_path: Path,
) -> None:
    command = [
        sys.executable, "-m", "flows.cli", "run", "--dataset", "egoexo4d",
        "--root", str(small_dataset), "--encoder", str(tiny_encoder),
        "--store", str(tmp_path / "store"), "--executor", executor, "--workers", "2",
        "--set", "execution.batch_takes=3", "--set", "splits.shares=[0.5, 0.0, 0.5]", "--json",
        *more,
    ]  # fmt: skip
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["version"] == undisturbed.version
    assert artifact_keys(tmp_path / "prefect") == {
        "prepared-version",
        "quarantine",
        "quality",
        *artifacts,
    }
    assert (summary["profile"] is not None) == ("--profile" in more)
    assert {"start", "server", "takes", "publish", "work:arrays"} <= summary["seconds"].keys()
    assert version_bytes(summary["store"], summary["version"]) == version_bytes(
        undisturbed.store, undisturbed.version
    )


@pytest.mark.long
@pytest.mark.parametrize(
    "executor",
    [
        pytest.param(["threads", "--workers", "1"], id="one_thread"),
        pytest.param(["threads", "--workers", "4"], id="four_threads"),
        pytest.param(["dask", "--workers", "1"], id="one_process"),
        pytest.param(["dask", "--workers", "3"], id="three_processes"),
        pytest.param(
            ["dask", "--workers", "2", "--set", "execution.dask_processes=false"],
            id="dask_threads",
        ),
        pytest.param(["dask", "--dask-address"], id="scheduler_and_two_workers_elsewhere"),
        pytest.param(
            [
                *("dask", "--workers", "2", "--set", "execution.cluster=slurm"),
                *("--set", "execution.slurm.interface=lo", "--set", "execution.slurm.memory=4GB"),
            ],
            id="slurm_jobs",
        ),
    ],
)
@pytest.mark.parametrize("batch_takes", [1, 8])
def test_every_other_executor_too(
    executor: list[str],
    batch_takes: int,
    undisturbed: RunSummary,
    small_dataset: Path,
    tiny_encoder: Path,
    tmp_path: Path,
) -> None:
    with ExitStack() as running:
        environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect")}
        if executor[-1] == "--dask-address":
            programs = running.enter_context(start_dask(tmp_path / "dask", workers=2))
            executor = [*executor, programs.address]
        if "execution.cluster=slurm" in executor:
            environment |= running.enter_context(fake_slurm(tmp_path / "slurm"))
        command = [
            sys.executable, "-m", "flows.cli", "run", "--dataset", "egoexo4d",
            "--root", str(small_dataset), "--encoder", str(tiny_encoder),
            "--store", str(tmp_path / "store"), "--set", f"execution.batch_takes={batch_takes}",
            "--set", "encoder.precision=float32", "--set", "splits.shares=[0.5, 0.0, 0.5]",
            "--json", "--executor", *executor,
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=False, timeout=600
        )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["computed_takes"] == 8
    assert version_bytes(summary["store"], summary["version"]) == version_bytes(
        undisturbed.store, undisturbed.version
    )
    if "execution.cluster=slurm" in executor:
        jobs = tmp_path / "slurm" / "jobs"
        submitted, cancelled = (
            (jobs / name).read_text().split() for name in ("submitted", "cancelled")
        )
        # None is left in the queue; one that had ended by itself was submitted again.
        assert len(submitted) >= 2
        assert set(submitted[-2:]) <= set(cancelled)


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_takes_and_who_shares_a_batch_change_nothing(
    seed: int, undisturbed: RunSummary, small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    config = make_config(small_dataset, encoder=tiny_encoder, store=tmp_path / "store")
    encoder = open_encoder(config.encoder)
    assert encoder is not None
    takes = [take["take_uid"] for take in json.loads((small_dataset / "takes.json").read_text())]
    rng = np.random.default_rng(seed)
    shuffled = [str(uid) for uid in rng.permutation(takes)]
    cuts = sorted(rng.choice(np.arange(1, len(takes)), size=2, replace=False).tolist())
    plain, run = config.model_dump(mode="json"), uuid4().hex
    for start, end in zip([0, *cuts], [*cuts, len(takes)], strict=True):
        run_batch(plain, shuffled[start:end], encoder.spec.model_dump(mode="json"), run)
    summary = prepare(config)
    assert (summary.computed_takes, summary.reused_takes) == (0, 8)
    assert version_bytes(summary.store, summary.version) == version_bytes(
        undisturbed.store, undisturbed.version
    )


def test_a_killed_run_goes_on_where_it_stopped(
    undisturbed: RunSummary, small_dataset: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    command = [
        sys.executable, "-m", "flows.cli", "run", "--dataset", "egoexo4d",
        "--root", str(small_dataset), "--encoder", str(tiny_encoder), "--store", str(store),
        "--executor", "inline", "--set", "splits.shares=[0.5, 0.0, 0.5]",
    ]  # fmt: skip
    frames = store / "parts" / "frames"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(frames.glob("*/*.arrow")) and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {p.name: p.stat().st_mtime_ns for p in frames.glob("*/*.arrow")}
    assert 1 <= len(done) < 8
    assert not list((store / "versions").glob("*")) if (store / "versions").exists() else True

    resumed = prepare(make_config(small_dataset, encoder=tiny_encoder, store=store))
    assert resumed.version == undisturbed.version
    # A take whose frames part was there may still have lacked its text part.
    assert 8 - len(done) <= resumed.computed_takes <= 8 - len(done) + 1
    after = {p.name: p.stat().st_mtime_ns for p in frames.glob("*/*.arrow")}
    assert len(after) == 8
    assert {name: after[name] for name in done} == done
