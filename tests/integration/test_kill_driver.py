"""SIGKILL to the driver, at any moment: run again, and the same version is published.

Moments are drawn from a seed over the time that an undisturbed run takes on the same machine.
"""

import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from flows.prepare import RunSummary, prepare
from pipelines.stores.refs import list_tags, list_versions
from pipelines.stores.verify import verify_version
from pipelines.synthetic.egoexo4d import write_egoexo4d
from tests.integration.conftest import make_config
from tests.integration.kills import (
    PREP,
    family,
    kill_family,
    kill_moments,
    leftovers,
    started,
    wait_until,
    wait_until_gone,
)
from tests.storage_server import Fault, S3Server

pytestmark = pytest.mark.slow

SEED = 20
WORDS = ("encoder.precision=float32", "splits.shares=[0.5, 0.0, 0.5]", "execution.batch_takes=2")


def command(root: Path, *, encoder: Path, store: Path | str, executor: str) -> list[str]:
    settings = [word for setting in WORDS for word in ("--set", setting)]
    return [
        *PREP, "run", "--dataset", "egoexo4d", "--root", str(root), "--encoder", str(encoder),
        "--store", str(store), "--executor", executor, "--workers", "2", *settings,
    ]  # fmt: skip


def frames_parts(store: Path) -> int:
    return len(list(store.glob("parts/frames/*/*.arrow")))


def stop_at(
    process: "subprocess.Popen[bytes]", *, moment_s: float, whole: bool
) -> list[psutil.Process]:
    """Kill a run that long after its start, unless it is over; return all that belonged to it."""
    deadline = time.monotonic() + moment_s
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    members = family(process)
    kill_family(members if whole else members[:1])
    process.wait()
    return members


def check_nothing_half_done(store: Path) -> None:
    """Whatever can be seen of a store that lost its writer is whole."""
    for version in list_versions(store):
        assert verify_version(store, version) == []
    for version in list_tags(store).values():
        assert version in list_versions(store)


@pytest.fixture(scope="module")
def reference(
    small_dataset: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunSummary:
    store = tmp_path_factory.mktemp("reference") / "store"
    return prepare(make_config(small_dataset, encoder=tiny_encoder, store=store))


@pytest.mark.parametrize(
    ("executor", "whole"), [("inline", True), ("threads", False)], ids=["all", "driver_alone"]
)
def test_after_a_kill_the_next_run_publishes_the_same_version(
    executor: str,
    whole: bool,
    reference: RunSummary,
    small_dataset: Path,
    tiny_encoder: Path,
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng([SEED, whole])
    store = tmp_path / "store"
    words = command(small_dataset, encoder=tiny_encoder, store=store, executor=executor)
    with started(words, folder=tmp_path / "run") as process:
        parts = int(rng.integers(1, 5))
        wait_until(lambda: frames_parts(store) >= parts or process.poll() is not None)
        time.sleep(float(rng.random()) * 0.2)
        members = family(process)
        assert members, (tmp_path / "run" / "err.txt").read_text()
        kill_family(members if whole else members[:1])
        process.wait()
        # Prefect's server does not outlive a driver that could not stop it.
        assert wait_until_gone(members) == []
    there = frames_parts(store)
    assert there >= 1
    check_nothing_half_done(store)
    again = prepare(make_config(small_dataset, encoder=tiny_encoder, store=store))
    assert again.version == reference.version
    # What was there is not decoded again, whatever else its take still lacked.
    assert again.computed_parts["frames"] == 8 - there
    assert verify_version(store, again.version) == []


@pytest.fixture(scope="module")
def twelve_takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("twelve") / "data"
    write_egoexo4d(root, takes=12, seconds=20.0, seed=12, participants=2, workers=2, small_px=112)
    return root


@pytest.mark.long
@pytest.mark.parametrize("whole", [True, False], ids=["all", "driver_alone"])
@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_twenty_moments_of_a_run_of_twelve_takes(
    executor: str, whole: bool, twelve_takes: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Five moments of each of the four ways: twenty in all."""
    best = prepare(make_config(twelve_takes, encoder=tiny_encoder, store=tmp_path / "best"))
    words = command(twelve_takes, encoder=tiny_encoder, store=tmp_path / "timed", executor=executor)
    began = time.monotonic()
    with started(words, folder=tmp_path / "undisturbed") as process:
        assert process.wait(timeout=600) == 0
    whole_s = time.monotonic() - began
    seed = SEED + 2 * whole + (executor == "threads")
    moments = kill_moments(seed=seed, count=5, shortest_s=0.3, longest_s=whole_s)
    published = 0
    for i, moment_s in enumerate(moments):
        store = tmp_path / f"store-{i}"
        words = command(twelve_takes, encoder=tiny_encoder, store=store, executor=executor)
        with started(words, folder=tmp_path / f"run-{i}") as process:
            members = stop_at(process, moment_s=moment_s, whole=whole)
            assert wait_until_gone(members) == []
        check_nothing_half_done(store)
        again = prepare(make_config(twelve_takes, encoder=tiny_encoder, store=store))
        assert again.version == best.version
        assert verify_version(store, again.version) == []
        published += 1
    assert published == 5
    assert leftovers(tmp_path / "best") == []


@pytest.mark.long
def test_moments_of_a_run_into_a_flaky_object_store(
    twelve_takes: Path, tiny_encoder: Path, tmp_path: Path, s3_server: S3Server
) -> None:
    best = prepare(make_config(twelve_takes, encoder=tiny_encoder, store=tmp_path / "best"))
    s3_server.fail(Fault(kind="500", every=17), Fault(kind="503", every=23))
    moments = kill_moments(seed=SEED, count=3, shortest_s=6.0, longest_s=40.0)
    for i, moment_s in enumerate(moments):
        store = f"s3://{s3_server.make_bucket()}/store"
        words = command(twelve_takes, encoder=tiny_encoder, store=store, executor="inline")
        with started(words, folder=tmp_path / f"run-{i}") as process:
            stop_at(process, moment_s=moment_s, whole=True)
        again = prepare(make_config(twelve_takes, encoder=tiny_encoder, store=store))
        assert again.version == best.version
