"""What a run listens on, by the sockets that are really open."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cluster import host_for_workers
from flows.server import PrefectServer
from pipelines.config import ExecutionConfig

SERVES = """
import json
import psutil
from flows.cluster import DaskCluster
from pipelines.config import ExecutionConfig

if __name__ == "__main__":
    with DaskCluster(ExecutionConfig(executor="dask", workers=1)) as cluster:
        cluster._started.result()
        this = psutil.Process()
        found = [
            [place.laddr.ip, place.laddr.port]
            for process in (this, *this.children(recursive=True))
            for place in process.net_connections("inet")
            if place.status == psutil.CONN_LISTEN
        ]
    print(json.dumps(found))
"""


@pytest.mark.slow
def test_what_a_run_serves_is_for_this_machine_alone(tmp_path: Path) -> None:
    program = tmp_path / "serves.py"
    program.write_text(SERVES)
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    # The scheduler and a worker, at least.
    assert len(found) >= 2
    assert {address for address, _ in found} == {"127.0.0.1"}


def test_the_api_of_a_run_here_is_bound_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert host_for_workers(ExecutionConfig(executor="dask")) == "127.0.0.1"
    assert host_for_workers(ExecutionConfig(executor="threads")) == "127.0.0.1"
    started: list[list[str]] = []

    class Recorded:
        def __init__(self, command: list[str], **_: object) -> None:
            started.append(command)

    # Empty is as good as unset, and is what the test leaves behind it again.
    monkeypatch.setenv("PREFECT_API_URL", "")
    monkeypatch.setattr("flows.server.subprocess.Popen", Recorded)
    server = PrefectServer()
    (command,) = started
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert server.url.startswith("http://127.0.0.1:")
