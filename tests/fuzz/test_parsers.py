"""Every parser against spoilt inputs: it answers, or says what is wrong, and nothing else.

``make fuzz`` does the same for as long as one likes, guided by coverage.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.spoil import spoil
from tests.fuzz.target import check_input
from tests.fuzz.targets import BINARY, MODEL, TEXT, find_target

ROOT = Path(__file__).parents[2]
# Two originals are refused as they should be.
REFUSED = {("vrs", "no_calibration"), ("tag", "StoreNotFoundError")}


def fuzz(target: str, *, seconds: int, engine: str = "random", seed: int = 0) -> dict[str, Any]:
    """Run the driver in a process of its own, which a crash or a hang ends."""
    command = [sys.executable, "-m", "tests.fuzz", target, "--engine", engine]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=seconds * 2 + 180
    )
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if "finding" in report else 0)
    return report


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BINARY, *TEXT, *MODEL])
def test_sound_input_is_parsed(tmp_path: Path, name: str) -> None:
    target = find_target(name)
    outcomes = {check_input(target, data, folder=tmp_path) for data in target.originals()}
    assert "ok" in outcomes or (name, *outcomes) in REFUSED
    assert all(outcome == "ok" or (name, outcome) in REFUSED for outcome in outcomes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name for name in (*BINARY, *TEXT, *MODEL) if name not in ("vrs", "mp4")]
)
def test_spoilt_input_is_answered(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    target = find_target(name)
    originals = list(target.originals())
    folder = tmp_path_factory.mktemp(name)

    @settings(
        # YAML is read by the letter, every broken rule is told; an encoder is loaded as a whole.
        max_examples=10 if name == "config" or name in MODEL else 40,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data: st.DataObject) -> None:
        def choose(n: int) -> int:
            return data.draw(st.integers(0, n - 1))

        original = originals[choose(len(originals))]
        spoilt = spoil(original, choose=choose, donors=originals, text=target.text)
        check_input(target, spoilt, folder=folder)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vrs", "gpmf", "mp4"])
def test_binary_parser_survives_seconds(name: str) -> None:
    report = fuzz(name, seconds=2)
    assert "finding" not in report, report["finding"]
    assert report["runs"] >= 20
    # Damage is found, and what is sound is still read.
    assert len(report["outcomes"]) > 3


@pytest.mark.long
@pytest.mark.parametrize("name", MODEL)
def test_parser_of_models_survives_a_minute(name: str) -> None:
    report = fuzz(name, seconds=60, engine="auto")
    assert "finding" not in report, report["finding"]
    assert report["runs"] > 50
    assert report["peak_mib"] <= 1024


@pytest.mark.long
@pytest.mark.parametrize("name", BINARY)
def test_binary_parser_survives_ten_minutes(name: str) -> None:
    report = fuzz(name, seconds=600, engine="auto")
    assert "finding" not in report, report["finding"]
    assert report["runs"] > 10_000
    assert report["peak_mib"] <= 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "why"),
    [("trap_crash", ""), ("trap_fail", "nobody foresaw it"), ("trap_devour", "MemoryError")],
)
def test_driver_tells_a_finding_and_keeps_its_input(name: str, why: str) -> None:
    report = fuzz(name, seconds=5)
    assert why in report["finding"]
    assert report["exit_code"] == (-11 if name == "trap_crash" else 1)
    found = Path(report["input"])
    assert found.read_bytes() != b"sound"
    found.unlink()
