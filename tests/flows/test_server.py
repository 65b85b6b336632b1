"""The server named by the user is left alone; what answers is waited for, what ends is said."""

import http.server
import os
import threading
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
http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""


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
