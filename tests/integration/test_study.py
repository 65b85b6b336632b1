"""Fig. 6 (Das et al. 2025) in small: four shares, two objectives, five trials; killed half way."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.cli import main as prep

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
SHARES = (0.1, 0.25, 0.5, 1.0)


def command(store: str, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "primus_train.cli", "study", "data-efficiency"),
        *("--store", store, "--out", str(out), "--shots", "10", "--jobs", "2", "--device", "cpu"),
        *(
            "--set",
            "epochs=2",
            "--set",
            "data.batch_size=32",
            "--set",
            "objective.bank_size=256",
            "--json",
        ),
    ]


def finished(out: Path) -> set[Path]:
    records = {path.parent: json.loads(path.read_text()) for path in out.glob("runs/*/run.json")}
    return {folder for folder, record in records.items() if record["finished"]}


def test_the_figure_of_shares_survives_a_kill(tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    options = ["--device", "glasses", "--participants", "8", "--takes", "2"]
    made = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "hard_store.py"), str(store), *options],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    ref = f"{store}@{json.loads(made.stdout)['version']}"

    refused = subprocess.run(command(ref, out), capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    # What the sentence tells to run makes the masks that it misses.
    told = re.findall(r"primus-prep (mask .*?--seed 0)", refused.stderr)
    assert len(told) == 3
    for words in told:
        assert prep(shlex.split(words)) == 0

    study = subprocess.Popen(command(ref, out), stdout=subprocess.DEVNULL)
    try:
        while len(finished(out)) < 3:
            assert study.poll() is None
            time.sleep(0.05)
    finally:
        study.send_signal(signal.SIGKILL)
        study.wait()
    done = subprocess.run(command(ref, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["runs"]["reused"] >= 3
    assert report["runs"]["computed"] == 8 - report["runs"]["reused"]
    assert report["runs"]["failed"] == 0

    rows = pq.read_table(out / "data-efficiency.parquet").to_pylist()
    assert [(row["method"], row["share"]) for row in rows] == [
        (method, share) for method in ("primus", "imu2clip") for share in SHARES
    ]
    assert {len(row["accuracies"]) for row in rows} == {5}
    assert len({row["mask_sha256"] for row in rows}) == 4
    assert len({row["checkpoint_sha256"] for row in rows}) == 8
    (test,) = report["tests"]
    assert test["compared"] == "PRIMUS at 10 % against IMU2CLIP at 100 %"
    assert test["n"] == [5, 5]
    assert (out / "data-efficiency.png").read_bytes().startswith(b"\x89PNG")

    again = subprocess.run(command(ref, out), capture_output=True, text=True, check=True)
    last = json.loads(again.stdout)
    assert (last["runs"]["computed"], last["probes"]["computed"]) == (0, 0)
    assert last["rows"] == report["rows"]
    print(report["tables"])
