"""The run's one Prefect API: the one the user names, else a server of our own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

from schemas.errors import PrimusError

__all__ = ["PrefectServer", "prefect_api"]

_API_URL: Final = "PREFECT_API_URL"
_START_S: Final = 120.0
_STOP_S: Final = 5.0
_POLL_S: Final = 0.05
_DRAIN_S: Final = 20
_ATTEMPTS: Final = 3
# As Prefect starts a temporary server itself; started from here, its second of imports and its
# database stay out of this process, and the wait for it can be spent on other work.
_SERVER: Final = ("-m", "uvicorn", "--factory", "prefect.server.api.server:create_app")
_SERVER_ENVIRONMENT: Final = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


class PrefectServer:
    """A Prefect API that is on its way from construction on; a context manager that stops it.

    The one named by ``PREFECT_API_URL`` is taken as it is and left alone. Otherwise a server is
    started on a loopback port and its URL exported, so that worker processes started later share
    it instead of starting their own.
    """

    def __init__(self) -> None:
        self.url = os.environ.get(_API_URL, "")
        self._process: subprocess.Popen[bytes] | None = None
        if not self.url:
            self._start()

    def __enter__(self) -> "PrefectServer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            os.environ.pop(_API_URL, None)
            _stop(self._process)

    def wait(self) -> None:
        """Return as soon as the server answers.

        Raises:
            PrimusError: if it ends or does not answer in two minutes.
        """
        deadline = time.monotonic() + _START_S
        attempts = 1
        while self._process is not None and not _answers(self.url):
            code = self._process.poll()
            if code is not None and attempts < _ATTEMPTS:
                # Between the choice of a port and its use another program may have taken it.
                attempts += 1
                self._start()
            elif code is not None or time.monotonic() > deadline:
                how = f"it ended with code {code}" if code is not None else f"none in {_START_S} s"
                raise PrimusError(f"Prefect's server must answer, got {how} [{self.url}]")
            time.sleep(_POLL_S)

    def _start(self) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/api"
        self._process = subprocess.Popen(
            [
                sys.executable,
                *_SERVER,
                *("--host", "127.0.0.1", "--port", str(port)),
                *("--log-level", "error", "--lifespan", "on"),
            ],
            # Standard output is the report's alone.
            stdout=subprocess.DEVNULL,
            env={**os.environ, **_SERVER_ENVIRONMENT},
        )
        os.environ[_API_URL] = self.url


@contextmanager
def prefect_api(url: str) -> Iterator[None]:
    """Let flows of this process run against the API at ``url``; what they told it is sent."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}):
        try:
            yield
        finally:
            _drain_prefect()


def _free_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=5) as response:
            healthy: bool = response.status == 200
            return healthy
    except (URLError, OSError):
        return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _drain_prefect() -> None:
    # Events and logs are sent by threads of their own; left with a queue, they would go on trying
    # to reach a server that is gone, and keep the process from ending.
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for service in (EventsWorker, APILogWorker):
        waiting: Any = service.drain_all(timeout=_DRAIN_S)
        del waiting
