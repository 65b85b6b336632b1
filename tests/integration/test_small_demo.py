"""The demo at a size for every day: every stage runs, and a second call reuses all of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def run(out: Path, *flags: str) -> tuple[str, str]:
    # A program of its own, as a person starts it: it has to end by itself too.
    command = [
        sys.executable, "-m", "flows.cli", "demo", "--out", str(out), "--takes", "32",
        "--seconds", "9", *flags,
    ]  # fmt: skip
    environment = {**os.environ, "PREFECT_HOME": str(out.parent / "prefect")}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout, done.stderr


def test_the_whole_road_and_a_second_time(tmp_path: Path) -> None:
    shown, progress = run(tmp_path / "out", "--json")
    first = json.loads(shown)
    assert first["segments"]["stored"] > 100
    assert first["takes"] == {"computed": 32, "reused": 0}
    assert not any(first["reused"].values())
    assert first["retrieval"]["gallery"] >= 16
    for picture in first["pictures"]:
        assert Path(picture).stat().st_size > 1000
    listed = {p.name for p in (tmp_path / "out" / "figures").iterdir()}
    assert {"composition.png", "alignment.png", "triplet-1.png"} <= listed
    for study in first["studies"].values():
        assert study["failed"] == 0
        assert {Path(file).suffix for file in study["files"]} >= {".png", ".pdf", ".md"}
    # Neither Prefect nor the VRS library speaks on the terminal.
    assert "prefect" not in progress.lower()
    assert "[INFO]" not in progress

    table, _ = run(tmp_path / "out")
    for stage in ("synth", "run", "fit", "retrieve", "probe", "probe untrained", "studies"):
        line = next(x for x in table.splitlines() if x.startswith(f"seconds: {stage} "))
        assert line.endswith("(reused)")
    assert f"store version                  {first['version']}" in table
