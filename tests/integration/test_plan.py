"""A run priced before it is made, and what it came to."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.cli import main
from flows.prepare import prepare
from pipelines.stores.refs import list_versions
from pipelines.stores.verify import read_manifest
from schemas.store import version_path
from tests.integration.conftest import make_config

TAKES, SECONDS = 8, 12


def plan(
    capsys: pytest.CaptureFixture[str], *, root: Path, encoder: Path, store: Path, flags: Any = ()
) -> dict[str, Any]:
    # Start-up is given: measuring it starts the program, which the long test does.
    code = main(
        ["plan", "--dataset", "egoexo4d", "--root", str(root), "--store", str(store),
         "--encoder", str(encoder), "--executor", "inline", "--set", "splits.shares=[0.5,0,0.5]",
         "--set", "encoder.precision=float32", "--rates", "start=3", "--json", *flags]
    )  # fmt: skip
    shown = capsys.readouterr().out
    assert code == 0
    report: dict[str, Any] = json.loads(shown)
    return report


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def by_stage(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stage["stage"]: stage for stage in report["stages"]}


def files_under(folder: Path) -> dict[Path, int]:
    kept = folder / "parts" / "state" / "rates"
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and kept not in path.parents
    }


@pytest.mark.slow
def test_plan_counts_what_the_run_then_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, small_dataset: Path, tiny_encoder: Path
) -> None:
    store = tmp_path / "store"
    given = {"root": small_dataset, "encoder": tiny_encoder, "store": store}
    before = plan(capsys, **given)
    assert files_under(store) == {}
    assert (before["rates_from"], before["rates"]["takes"]) == ("measured", 3)
    assert all(math.isfinite(n) and n >= 0 for n in numbers(before))
    assert before["time"]["takes_s"] > 0
    assert before["time"]["publish_s"] > 0
    assert before["time"]["start_s"] >= 3
    assert before["time"]["total_s"] == pytest.approx(
        sum(before["time"][part] for part in ("start_s", "takes_s", "publish_s"))
    )
    stages = by_stage(before)
    assert stages["frames"]["to_do"] == TAKES * SECONDS * 10
    assert stages["imu"]["to_do"] == TAKES * SECONDS * 50
    assert stages["frames"]["worker_seconds"] > 0
    assert "check" not in stages

    config = make_config(
        small_dataset, encoder=tiny_encoder, store=store, encoder__precision="float32"
    )
    summary = prepare(config)
    counts, takes = before["segments"], before["takes"]
    assert (counts["planned"], counts["rows"]) == (summary.planned, summary.stored)
    assert counts["dropped"] == summary.dropped
    assert (takes["all"], takes["to_do"], takes["done"]) == (TAKES, TAKES, 0)
    assert takes["quarantined"] == summary.quarantined_takes == {}
    (version,) = list_versions(store)
    manifest = read_manifest(store, version)
    assert stages["fingerprint"]["items"] == sum(source.size for source in manifest.sources)
    written = sum(entry.size for entry in manifest.objects)
    assert before["bytes"]["version"] == pytest.approx(written, rel=0.05)
    parts = {
        kind: sum(path.stat().st_size for path in (store / "parts" / kind).rglob("*.arrow"))
        for kind in ("imu", "frames", "text")
    }
    for kind, size in parts.items():
        assert stages[kind]["bytes_out"] == pytest.approx(size, rel=0.1)

    unchanged = files_under(store)
    after = plan(capsys, **given)
    assert after["rates_from"] == "kept"
    assert (after["takes"]["done"], after["takes"]["to_do"]) == (TAKES, 0)
    assert after["bytes"]["parts_to_write"] == 0
    assert after["bytes"]["parts"] == by_stage(after)["check"]["items"] == sum(parts.values())
    assert {name for name, stage in by_stage(after).items() if stage["to_do"]} == {
        "take", "fingerprint", "check", "assemble", "publish",
    }  # fmt: skip
    assert after["time"]["takes_s"] < before["time"]["takes_s"]
    trusted = plan(capsys, **given, flags=["--trust-sizes"])
    assert trusted["takes"] == after["takes"]
    assert files_under(store) == unchanged

    # Another window needs no other part; under "needed" it may.
    other = plan(capsys, **given, flags=["--set", "segments.length_ms=4000"])
    assert other["takes"]["done"] == TAKES
    fewer = plan(capsys, **given, flags=["--set", "video.coverage=needed"])
    assert fewer["takes"]["to_do"] == TAKES
    assert 0 < by_stage(fewer)["frames"]["items"] <= stages["frames"]["items"]

    cluster = plan(
        capsys, **given,
        flags=["--workers", "100", "--cores-per-worker", "4", "--set", "video.step_ms=200",
               "--rates", "frames=1"],
    )  # fmt: skip
    assert (cluster["cluster"]["workers"], cluster["cluster"]["cores"]) == (100, 400)
    assert by_stage(cluster)["frames"]["worker_seconds"] == TAKES * SECONDS * 5
    # A take has 60 such frames, and a worker each.
    assert 60 < cluster["time"]["takes_s"] < 70
    assert cluster["time"]["worker_s"] > TAKES * 60


@pytest.mark.slow
def test_plan_says_what_a_person_did_wrong(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, small_dataset: Path, tiny_encoder: Path
) -> None:
    def fails(*flags: str) -> str:
        code = main(
            ["plan", "--dataset", "egoexo4d", "--root", str(small_dataset), "--store",
             str(tmp_path / "s"), "--encoder", str(tiny_encoder), "--json", *flags]
        )  # fmt: skip
        captured = capsys.readouterr()
        assert (code, captured.out) == (2, "")
        return captured.err.splitlines()[-1]

    assert "rates must name one of" in fails("--rates", "speed=3")
    assert "--gpus prices a cluster and needs --cores-per-worker" in fails("--gpus", "1")
    assert "--cores-per-worker must be 1 or more, got 0" in fails("--cores-per-worker", "0")
    assert "--gpus must be 0 or more" in fails("--gpus", "-1", "--cores-per-worker", "2")
    assert "plan.rates" in fails("--set", "plan.rates={frames: fast}")
    assert "dataset.root must be" in fails("--root", str(tmp_path / "gone"))
    assert not (tmp_path / "s").exists()


def timed(*arguments: str) -> tuple[float, dict[str, Any]]:
    command = [sys.executable, "-m", "flows.cli", *arguments, "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    spent = time.perf_counter() - began
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return spent, report


@pytest.mark.long
def test_the_demo_takes_what_plan_says(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cold and warm, within 25 % either way; needs a machine that does little else."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    root = tmp_path / "dataset"
    timed("synth", str(root), "--takes", "32", "--seconds", "40", "--seed", "0")
    shared = [
        "--dataset", "egoexo4d", "--root", str(root), "--store", str(tmp_path / "store"),
        "--encoder", str(tiny_encoder), "--executor", "threads", "--workers", "2",
        "--set", "execution.batch_takes=2", "--set", "splits.shares=[0.5,0.25,0.25]",
    ]  # fmt: skip
    # The first server of a Prefect home makes its database; a person's has one.
    shares = {}
    for name, done in (("cold", 0), ("warm", 32)):
        _, price = timed("plan", *shared)
        assert price["takes"]["done"] == done
        spent, _ = timed("run", *shared)
        said = price["time"]["total_s"]
        shares[name] = said / spent
        sys.stdout.write(
            f"{name}: plan {said:.1f} s, run {spent:.1f} s, ratio {said / spent:.2f}; "
            f"load {os.getloadavg()[0]:.1f}\n"
        )
        assert price["segments"]["rows"] > 1000
        assert (tmp_path / "store" / version_path(list_versions(tmp_path / "store")[0])).is_dir()
    assert {name: 0.75 <= share <= 1.25 for name, share in shares.items()} == {
        "cold": True,
        "warm": True,
    }, shares
