"""The cost model of docs/scaling.md: drawn takes add up, and prices to their sums."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def priced() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "benchmarks/price_datasets.py", "--encode-ms", "100", "--motion-ms", "0"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def row(priced: dict[str, Any], dataset: str, cluster: str) -> dict[str, Any]:
    (found,) = [r for r in priced["rows"] if r["dataset"] == dataset and r["cluster"] == cluster]
    return dict(found)


@pytest.mark.slow
def test_two_cores_take_half_of_all_processor_time(priced: dict[str, Any]) -> None:
    rates = priced["rates"]
    seconds = 221.26 * 3600
    frame_s = (rates["decode_base_ms"] + rates["decode_megapixel_ms"] * 0.448**2 + 100) / 1e3
    frames = 10 * seconds * (frame_s + rates["audit_ms"] / 1e3)
    others = seconds * rates["imu_ms"] / 1e3 + 432_467 / rates["sentences_s"]
    takes = 5035 * rates["take_ms"] / 1e3
    expected = (frames + others + takes) / 2
    # Fingerprints and tasks are the rest, well under a hundredth.
    assert row(priced, "Ego-Exo4D", "2 cores")["takes_s"] == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
def test_the_gpu_is_priced_by_its_own_rate(priced: dict[str, Any]) -> None:
    bounds = row(priced, "Ego-Exo4D", "16 cores, one GPU")["bounds"]
    frames = 221.26 * 3600 * 10
    # Each take ends in whole frames.
    assert bounds["gpus"] == pytest.approx(frames / priced["rates"]["gpu_frames_s"], rel=1e-4)
