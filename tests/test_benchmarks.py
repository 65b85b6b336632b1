"""The benchmarks run, say what they promise, and compare ways that give the same answer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
WAYS = {
    "audit": {"without", "ours"},
    "frames": {"published", "ours", "decode_only"},
    "resample": {"published", "ours"},
    "train_step": {"published", "ours", "encoder_only"},
}


def run(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "benchmarks" / f"bench_{name}.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, str(script), *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def quick(name: str) -> dict[str, dict[str, Any]]:
    """Run a benchmark and return the agreement of each case, its shape checked."""
    done = run(name, "--quick")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"benchmark", "quick", "settings", "machine", "cases"}
    assert (result["benchmark"], result["quick"]) == (name, True)
    assert result["machine"]["torch_threads"] == 1
    for case in result["cases"]:
        assert set(case["median"]) == set(case["runs"]) == set(case["over_ours"]) == WAYS[name]
        assert case["unit"].startswith("ms_per_")
        for way, times in case["runs"].items():
            # One round counts in a quick run, so the median is that round's time.
            assert times == [case["median"][way]]
            ratio = times[0] / case["median"]["ours"]
            assert case["over_ours"][way] == pytest.approx(ratio)
        assert case["name"] in done.stderr
    return {case["name"]: case["agreement"] for case in result["cases"]}


@pytest.mark.slow
def test_audit_leaves_the_other_parts_and_finds_no_lag_where_there_is_none() -> None:
    (found,) = quick("audit").values()
    assert found["same_imu_part"] == 1
    assert found["take_lag_told"] == 1
    assert abs(found["take_lag_ms"]) < 20
    assert found["take_lag_r2"] > 0.9


@pytest.mark.slow
def test_frames_of_one_pass_are_those_of_every_window() -> None:
    cases = quick("frames")
    assert set(cases) == {"no_b_frames", "b_frames"}
    for found in cases.values():
        assert (found["windows"], found["frames_a_window"]) == (2, 50)
        assert found["frames_in_video"] == 7 * 30
        # Another bicubic kernel, not another frame: neighbours differ by tens of levels.
        assert found["largest_grey_level_difference"] <= 3
        assert found["share_of_values_that_differ"] < 0.02


@pytest.mark.slow
def test_resampling_agrees_inside_windows_and_only_ours_at_their_edges() -> None:
    cases = quick("resample")
    # 13 s to choose starts from.
    assert {name: found["windows"] for name, found in cases.items()} == {
        "every_5_s": 2,
        "every_2_s": 6,
        "every_half_s": 26,
    }
    for found in cases.values():
        # Channels swing by about +-5; 0.01 is two parts in a thousand.
        assert found["largest_inner_difference"] < 0.01
        assert found["ours_largest_error"] < 0.01
        # Half of gravity is lost at the first sample of a window resampled alone.
        assert found["published_largest_error"] > 4


@pytest.mark.slow
def test_both_training_steps_descend_the_same_slope() -> None:
    (found,) = quick("train_step").values()
    assert found["loss_ours"] == pytest.approx(found["loss_published"], rel=1e-5)
    assert found["gradients_relative_distance"] < 1e-4
    assert found["share_of_equal_neighbours"] == 1


@pytest.mark.slow
def test_a_take_shorter_than_a_window_is_wrong_usage() -> None:
    done = run("frames", "--seconds", "4")
    assert done.returncode == 2
    assert "--seconds must be at least 5, got 4" in done.stderr
    assert done.stdout == ""


def test_every_benchmark_is_run_by_make_bench() -> None:
    scripts = {p.stem.removeprefix("bench_") for p in (ROOT / "benchmarks").glob("bench_*.py")}
    assert scripts == set(WAYS)
