"""Whole studies on the toy store, and one killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from scipy import stats

from primus_train.checkpoint import find_checkpoint
from primus_train.files import file_sha256
from primus_train.studies.plan import make_plan
from primus_train.studies.rows import STUDY_SCHEMA
from primus_train.studies.settings import StudySettings
from primus_train.studies.sole import sole_study
from primus_train.studies.study import run_study
from schemas.errors import UsageError
from tests.primus_train.prompt_files import write_prompts

Cheap = Callable[..., StudySettings]


@pytest.fixture(scope="module")
def baselines(
    toy_store: Path, cheap: Cheap, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("study")
    settings = cheap("baselines", toy_store, shots=(1, 13))
    return out, run_study(settings, out=out, device="cpu")


@pytest.mark.slow
def test_every_point_is_traced(toy_store: Path, baselines: tuple[Path, dict[str, Any]]) -> None:
    out, report = baselines
    assert (report["points"], report["failed"], report["not_available"]) == (10, 0, 5)
    assert report["runs"] == {"computed": 4, "reused": 0, "failed": 0}
    assert report["probes"] == {"computed": 6, "reused": 0, "failed": 0}
    table = pq.read_table(out / "baselines.parquet")
    assert table.schema.equals(STUDY_SCHEMA)
    rows = table.to_pylist()
    assert rows == report["rows"]
    for row in rows:
        run = json.loads((Path(row["run_folder"]) / "run.json").read_text())
        assert row["run"] == run["key"]
        assert row["checkpoint_sha256"] == file_sha256(find_checkpoint(Path(row["run_folder"])))
        assert row["trained_on"] == row["version"] == run["store"]["version"]
        assert (row["seed"], row["steps"]) == (run["seed"], run["steps"])
        assert row["commit"] == run["code"]["commit"]
        probe = json.loads((out / "probes" / row["probe"][:16] / "probe.json").read_text())
        (found,) = [one for one in probe["rows"] if one["shots"] == row["shots"]]
        assert row["accuracies"] == found["accuracies"]
        # Twelve train windows of each class.
        assert (row["accuracy"] is None) == (row["shots"] == 13)
        assert (row["reason"] or "").startswith("fewer than 13" if row["shots"] == 13 else "")
    kinds = {row["title"]: (row["encoder"], row["protocol"]) for row in rows}
    assert kinds["PRIMUS"] == ("pretrained", "logistic")
    assert kinds["Standard training"] == ("untrained", "finetune")
    assert {file.suffix for file in out.glob("baselines.*")} == {
        ".json",
        ".md",
        ".parquet",
        ".pdf",
        ".png",
        ".tex",
    }


@pytest.mark.slow
def test_a_study_finds_what_is_there(
    toy_store: Path, cheap: Cheap, baselines: tuple[Path, dict[str, Any]]
) -> None:
    out, report = baselines
    picture = (out / "baselines.png").read_bytes()
    told: list[tuple[int, int]] = []
    again = run_study(
        cheap("baselines", toy_store, shots=(1, 13)),
        out=out,
        device="cpu",
        on_points=lambda done, total, _: told.append((done, total)),
    )
    assert again["runs"] == {"computed": 0, "reused": 4, "failed": 0}
    assert again["probes"] == {"computed": 0, "reused": 6, "failed": 0}
    assert again["rows"] == report["rows"]
    assert (out / "baselines.png").read_bytes() == picture
    assert told[-1] == (10, 10)


@pytest.mark.slow
def test_a_run_made_elsewhere_is_used_in_place(
    toy_store: Path, cheap: Cheap, baselines: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    made = {Path(row["run_folder"]) for row in baselines[1]["rows"]}
    settings = cheap("baselines", toy_store, shots=(1,))
    report = run_study(settings, out=tmp_path, device="cpu", reuse=sorted(made))
    assert report["runs"] == {"computed": 0, "reused": 4, "failed": 0}
    assert {Path(row["run_folder"]) for row in report["rows"]} == made
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_shares_are_trained_under_their_masks(
    tmp_path: Path, cheap: Cheap, store_writer: Callable[..., str], mask_writer: Callable[..., None]
) -> None:
    root, out = tmp_path / "store", tmp_path / "out"
    version = store_writer(root)
    mask_writer(root, version, name="half", hidden=lambda i: i % 2 == 1)
    settings = cheap("data-efficiency", root, shares=(0.5, 1.0), shots=(3,), trials=3)
    report = run_study(settings, out=out, device="cpu")
    digest = json.loads((root / "masks" / version / "half.json").read_text())["sha256"]
    assert [(r["method"], r["share"], r["mask_sha256"]) for r in report["rows"]] == [
        ("primus", 0.5, digest),
        ("primus", 1.0, None),
        ("imu2clip", 0.5, digest),
        ("imu2clip", 1.0, None),
    ]
    assert len({row["checkpoint_sha256"] for row in report["rows"]}) == 4
    trials = {(r["method"], r["share"]): r["accuracies"] for r in report["rows"]}
    (test,) = report["tests"]
    assert (test["compared"], test["n"]) == ("PRIMUS at 50 % against IMU2CLIP at 100 %", (3, 3))
    if test["p"] is not None:
        oracle = stats.ttest_ind(trials["primus", 0.5], trials["imu2clip", 1.0], equal_var=False)
        assert test["p"] == pytest.approx(oracle.pvalue)


@pytest.mark.slow
def test_heads_start_at_prompts_where_encoders_know_text(
    toy_store: Path, cheap: Cheap, baselines: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    prompts = write_prompts(tmp_path / "p.json", {"cook": [[1.0]], "dance": [[0, 1.0]]})
    probe = ("protocol=published", "epochs=1", "min_steps=1")
    made = sorted({Path(row["run_folder"]) for row in baselines[1]["rows"]})
    settings = cheap("baselines", toy_store, shots=(1,), trials=1, probe=probe, prompts=prompts)
    report = run_study(settings, out=tmp_path / "out", device="cpu", reuse=made)
    assert {row["title"]: row["head"] for row in report["rows"]} == {
        "PRIMUS": "prompts",
        "IMU2CLIP": "prompts",
        "SimCLR": "random",
        "MultitaskSSL": "random",
        "Standard training": "random",
    }
    plain = settings.model_copy(update={"prompts": None})
    one, other = (set(make_plan(each, out=tmp_path).probes) for each in (settings, plain))
    # Training from scratch knows no prompts, and is the same work with and without.
    assert len(one & other) == 1


def finished(out: Path) -> set[Path]:
    return {
        path.parent
        for path in (out / "runs").glob("*/run.json")
        if json.loads(path.read_text())["finished"]
    }


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_killed_study_recomputes_nothing_finished(
    toy_store: Path, cheap: Cheap, tmp_path: Path, jobs: int
) -> None:
    overrides = ("objective.bank_size=16", "epochs=3", "data.batch_size=12")
    fields = {"shots": (1,), "trials": 2, "probe": ("strengths=[0.1]",), "overrides": overrides}
    out = tmp_path / "out"
    arguments = ["study", "ablation", "--store", str(toy_store), "--out", str(out)]
    arguments += [
        "--shots",
        "1",
        "--trials",
        "2",
        "--probe",
        "strengths=[0.1]",
        "--jobs",
        str(jobs),
    ]
    arguments += ["--device", "cpu", *(word for o in overrides for word in ("--set", o))]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "primus_train.cli", *arguments],
            stdout=said,
            stderr=said,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        until = time.monotonic() + 120
        while len(finished(out)) < 2:
            assert process.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    # Workers notice, and hold the folder until they have ended.
    with sole_study(out):
        runs = finished(out)
        probes = {path.parent for path in out.glob("probes/*/probe.json")}
        stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.pt")}
    assert 2 <= len(runs) < 7
    assert "Traceback" not in (tmp_path / "said").read_text()
    report = run_study(cheap("ablation", toy_store, **fields), out=out, device="cpu")
    assert report["runs"] == {"computed": 7 - len(runs), "reused": len(runs), "failed": 0}
    assert report["probes"] == {"computed": 7 - len(probes), "reused": len(probes), "failed": 0}
    for path, stamp in stamps.items():
        if path.parent in runs:
            assert path.stat().st_mtime_ns == stamp
    assert [row["failed"] for row in report["rows"]] == [False] * 7


def test_it_refuses_what_cannot_work(
    toy_store: Path, cheap: Cheap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="--jobs must be at least 1, got 0"):
        run_study(cheap("ablation", toy_store), out=tmp_path, jobs=0, device="cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="give --jobs instead of torchrun"):
        run_study(cheap("ablation", toy_store), out=tmp_path, device="cpu")
    assert not list(tmp_path.iterdir())
