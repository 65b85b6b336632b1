"""A video of four hours goes through the whole road in the memory of one of ten minutes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.synthetic.ego4d import write_ego4d
from tests.integration.ego4d_long import lengthen

pytestmark = pytest.mark.long

MINUTES = 10
TIMES = 24  # four hours
# The highest memory of the program alone: the process that asks holds next to nothing itself.
MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def run_peak_kb(root: Path, *, encoder: Path, store: Path) -> int:
    """Return the peak resident memory of ``primus-prep run``, KiB."""
    command = [
        sys.executable, "-c", MEASURE,
        sys.executable, "-m", "flows.cli", "run", "--dataset", "ego4d", "--root", str(root),
        "--store", str(store), "--encoder", str(encoder), "--executor", "inline", "--json",
    ]  # fmt: skip
    # Large temporaries go back to the system at once: left to itself the allocator comes to keep
    # them, a little later in one run than in the next, by more than what is measured here.
    environment = {
        **os.environ,
        "MALLOC_MMAP_THRESHOLD_": "1048576",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout.split()[-1])


def test_memory_does_not_grow_with_the_length_of_a_video(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    short, long = tmp_path / "short", tmp_path / "long"
    write_ego4d(short, takes=1, seconds=60 * MINUTES, seed=1, participants=1, size_px=160)
    lengthen(short, long, times=TIMES)
    peaks = [
        run_peak_kb(root, encoder=tiny_encoder, store=tmp_path / f"store-{root.name}")
        for root in (short, long)
    ]
    stored = []
    for root in (short, long):
        store = tmp_path / f"store-{root.name}"
        version = json.loads((store / "refs/latest.json").read_text())["version"]
        manifest = json.loads((store / "versions" / version / "manifest.json").read_text())
        stored.append(manifest["counts"]["stored"])
    # Both were really worked through: windows that slid at an end may fall together or apart.
    print(f"peak: {peaks[0] / 1024:.0f} MB, at {TIMES} times the length {peaks[1] / 1024:.0f} MB")
    assert stored[0] > 400
    assert stored[1] >= TIMES * stored[0]
    assert peaks[1] <= 1.1 * peaks[0], f"{peaks[1] / 1024:.0f} MB after {peaks[0] / 1024:.0f} MB"
