"""The demo at a size for every day: every stage runs, and a second call reuses all of it."""

import json
from pathlib import Path

import pytest

from flows.cli import main

pytestmark = pytest.mark.slow


def test_the_whole_road_and_a_second_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    arguments = ["demo", "--out", str(tmp_path / "out"), "--takes", "32", "--seconds", "9"]
    assert main([*arguments, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["segments"]["stored"] > 100
    assert first["takes"] == {"computed": 32, "reused": 0}
    assert not any(first["reused"].values())
    assert first["retrieval"]["gallery"] >= 16
    for picture in first["pictures"]:
        assert Path(picture).stat().st_size > 1000
    listed = {p.name for p in (tmp_path / "out" / "figures").iterdir()}
    assert {"composition.png", "alignment.png", "triplet-1.png"} <= listed

    assert main(arguments) == 0
    table = capsys.readouterr().out
    for stage in ("synth", "run", "fit", "retrieve", "probe", "probe untrained"):
        line = next(x for x in table.splitlines() if x.startswith(f"seconds: {stage} "))
        assert line.endswith("(reused)")
    assert f"store version                  {first['version']}" in table
