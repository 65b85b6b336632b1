"""The server named by the user is left alone; what answers is waited for, what ends is said."""

import http.server
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows import server as module
from flows.server import PrefectServer
from schemas.errors import PrimusError

HEALTHY = """
import http.server, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()
    def log_message(self, *args): pass
port = int(sys.argv[sys.argv.index("--port") + 1])
host = sys.argv[sys.argv.index("--host") + 1]
http.server.HTTPServer((host, port), Health).serve_forever()
"""
LIKE_UVICORN = "def main(options):\n" + textwrap.indent(
    HEALTHY.replace("port = ", "sys.argv[1:] = options\nport = ", 1), "    "
)
ROOT = Path(__file__).parents[2]


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        return


@pytest.fixture
def somebodys_server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/api"
        server.shutdown()
        thread.join()


def test_the_users_server_is_taken_and_left_as_it_is(
    somebodys_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", somebodys_server)
    monkeypatch.setattr(module, "_SERVER", ("-c", "raise SystemExit('nobody asked for it')"))
    with PrefectServer() as server:
        server.wait()
        assert server.url == somebodys_server
    assert os.environ["PREFECT_API_URL"] == somebodys_server


def test_a_server_of_our_own_is_waited_for_named_and_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(module, "_SERVER", ("-c", HEALTHY))
    with PrefectServer() as server:
        assert os.environ["PREFECT_API_URL"] == server.url
        server.wait()
        assert module._answers(server.url)
    assert "PREFECT_API_URL" not in os.environ
    assert not module._answers(server.url)


def test_a_server_that_ends_is_tried_again_and_then_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    tally = tmp_path / "tally"
    script = f"open({str(tally)!r}, 'a').write('x'); raise SystemExit(3)"
    monkeypatch.setattr(module, "_SERVER", ("-S", "-c", script))
    with (
        pytest.raises(PrimusError, match="server must answer, got it ended with code 3"),
        PrefectServer() as server,
    ):
        server.wait()
    assert tally.read_text() == "xxx"


@pytest.mark.slow
def test_a_server_ends_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    # The server itself is a small one, its process the real program's.
    uvicorn = tmp_path / "uvicorn.py"
    uvicorn.write_text(LIKE_UVICORN)
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import time\n"
        "from flows.server import PrefectServer\n"
        "server = PrefectServer()\n"
        "server.wait()\n"
        "print(server.url, flush=True)\n"
        "time.sleep(600)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    environment.pop("PREFECT_API_URL", None)
    with subprocess.Popen(
        [sys.executable, str(driver)], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert module._answers(url)
        process.kill()
    deadline = time.monotonic() + 20
    while module._answers(url) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not module._answers(url)


def test_where_other_machines_reach_it_a_password_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    told = tmp_path / "told"
    script = (
        f"import os; open({str(told)!r}, 'w').write("
        "os.environ.get('PREFECT_SERVER_API_AUTH_STRING', 'none'))\n" + HEALTHY
    )
    monkeypatch.setattr(module, "_SERVER", ("-c", script))
    with PrefectServer() as server:
        server.wait()
        assert told.read_text() == "none"
        assert "PREFECT_API_AUTH_STRING" not in os.environ
    seen = set()
    for _ in range(2):
        # All of 127.0.0.0/8 is this machine; only 127.0.0.1 is taken for unreachable by others.
        with PrefectServer("127.0.0.2") as server:
            assert server.url.startswith("http://127.0.0.2:")
            password = os.environ["PREFECT_API_AUTH_STRING"]
            server.wait()
            assert told.read_text() == password
            seen.add(password)
            assert all(len(secret) > 40 for secret in seen)
        assert "PREFECT_API_AUTH_STRING" not in os.environ
    assert len(seen) == 2
