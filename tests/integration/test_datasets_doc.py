"""The commands that the page of datasets shows, run as a newcomer would run them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.synthetic.registry import SYNTHETIC

DOC = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.long


def test_every_dataset_goes_from_nothing_to_a_verified_store(tmp_path: Path) -> None:
    (script,) = re.findall(r"```sh\n(.*?)```", DOC, flags=re.DOTALL)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert done.stdout.count("is whole") == len(SYNTHETIC)
    for dataset in SYNTHETIC:
        store = tmp_path / f"store-{dataset}"
        version = json.loads((store / "refs" / "latest.json").read_text())["version"]
        manifest = json.loads((store / "versions" / version / "manifest.json").read_text())
        counts = manifest["counts"]
        assert manifest["dataset"] == dataset
        assert counts["stored"] > 0
        assert counts["quarantined"] == {}
        assert counts["planned"] == counts["stored"] + sum(counts["dropped"].values())
