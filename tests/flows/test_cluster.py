"""The cluster that a run starts for itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Dask's own limit is set shorter than any start here: by it the worker would be given up for good.
KILLS = """
import json, os, signal, time
import dask
from flows.cluster import DaskCluster
from pipelines.config import ExecutionConfig

def processes(client):
    return list(client.run(os.getpid, on_error="ignore").values()) if client.nthreads() else []

if __name__ == "__main__":
    name = "distributed.deploy.lost-worker-timeout"
    dask.config.set({name: "10 ms"})
    execution = ExecutionConfig(executor="dask", workers=1, worker_timeout_s=100)
    with DaskCluster(execution) as cluster:
        cluster._started.result()
        client = cluster._client
        cluster.watch.wait_for_a_worker()
        (before,) = processes(client)
        os.kill(before, signal.SIGKILL)
        deadline = time.monotonic() + 90
        while (after := processes(client)) in ([], [before]) and time.monotonic() < deadline:
            time.sleep(0.1)
        during = dask.config.get(name)
    print(json.dumps([before, after, during, dask.config.get(name)]))
"""


@pytest.mark.slow
def test_a_worker_that_died_comes_back_however_long_it_takes(tmp_path: Path) -> None:
    program = tmp_path / "kills.py"
    program.write_text(KILLS)
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    before, after, during, afterwards = json.loads(done.stdout.splitlines()[-1])
    assert len(after) == 1
    assert after != [before]
    assert (during, afterwards) == ("100 s", "10 ms")
