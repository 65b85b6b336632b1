"""The whole road at its real size: what the demo's encoder must have learnt.

Gallery and chance are those of the two participants that were never trained on. The weights are
the last ones: the best ones are chosen on val, which the gallery holds too. The synthetic
parameters are fixed in the code; nothing here depends on a lucky seed.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows.demo import FIT_SETTINGS

pytestmark = pytest.mark.long


def run(*argv: str) -> tuple[dict[str, Any], float]:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *argv, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report, time.perf_counter() - began


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("demo") / "out"
    report, seconds = run("flows.cli", "demo", "--out", str(out))
    print(f"first run: {seconds:.0f} s")
    return out, report


def fit_and_retrieve(out: Path, name: str, *, seed: int, permute: str = "none") -> dict[str, Any]:
    settings = [word for setting in FIT_SETTINGS for word in ("--set", setting)]
    store, folder = f"{out / 'store'}@demo", out.parent / name
    run(
        "primus_train.cli", "fit", "--store", store, "--objective", "primus", "--out", str(folder),
        "--seed", str(seed), *settings, "--set", f"data.permute_video={permute}",
    )  # fmt: skip
    report, _ = run(
        "primus_train.cli", "retrieve", "--checkpoint", str(folder / "last.pt"), "--store", store,
        "--splits", "val,test",
    )  # fmt: skip
    found: dict[str, Any] = report["imu_to_video"]
    print(f"{name}: R@1 {found['r_at_1']:.3f}, {found['r_at_1'] / found['chance']:.1f}x chance")
    return found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_retrieval_is_five_times_chance_for_every_seed(
    demo: tuple[Path, dict[str, Any]], seed: int
) -> None:
    found = fit_and_retrieve(demo[0], f"seed-{seed}", seed=seed)
    assert found["n"] >= 100
    assert found["chance"] == pytest.approx(1 / found["n"])
    assert found["r_at_1"] >= 5 * found["chance"]


def test_video_of_another_take_teaches_nothing(demo: tuple[Path, dict[str, Any]]) -> None:
    found = fit_and_retrieve(demo[0], "permuted-takes", seed=0, permute="takes")
    assert found["r_at_1"] < 2 * found["chance"]


def test_video_of_the_same_activity_is_reported(demo: tuple[Path, dict[str, Any]]) -> None:
    found = fit_and_retrieve(demo[0], "permuted-label", seed=0, permute="label")
    assert 0 <= found["r_at_1"] <= 1


def test_pretraining_beats_no_training_by_more_than_both_errors(
    demo: tuple[Path, dict[str, Any]],
) -> None:
    rows = {
        name: next(row for row in demo[1]["probe"][name] if row["shots"] == 20)
        for name in ("pretrained", "untrained")
    }
    trained, plain = rows["pretrained"], rows["untrained"]
    print(f"20 shots: {trained['accuracy']:.3f} pretrained, {plain['accuracy']:.3f} untrained")
    assert trained["trials"] == plain["trials"] == 10
    assert 0.25 <= plain["accuracy"] <= 0.75
    margin = trained["accuracy"] - plain["accuracy"]
    assert margin > trained["accuracy_se"] + plain["accuracy_se"]


def test_the_three_figures_are_drawn_of_points_that_are_all_there(
    demo: tuple[Path, dict[str, Any]],
) -> None:
    # Five methods, seven subsets, and two methods at two shares; two numbers of shots each.
    studies = demo[1]["studies"]
    assert {name: study["points"] for name, study in studies.items()} == {
        "baselines": 10,
        "ablation": 14,
        "data-efficiency": 8,
    }
    for study in studies.values():
        assert study["failed"] == 0
        for file in study["files"]:
            assert Path(file).stat().st_size > 300


def test_a_second_demo_reuses_everything_and_says_so(
    demo: tuple[Path, dict[str, Any]],
) -> None:
    out, first = demo
    again, seconds = run("flows.cli", "demo", "--out", str(out))
    print(f"second run: {seconds:.0f} s")
    assert again["version"] == first["version"]
    assert again["takes"] == {"computed": 0, "reused": 32}
    kept = {stage for stage, reused in again["reused"].items() if reused}
    assert kept == {"synth", "run", "fit", "retrieve", "probe", "probe untrained", "studies"}
    assert again["retrieval"] == first["retrieval"]
    assert again["probe"] == first["probe"]
    for picture in again["pictures"]:
        assert Path(picture).stat().st_size > 1000
