"""The run's one Prefect API: the one the user names, else a server of our own."""

import os
import secrets
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
_API_AUTH: Final = "PREFECT_API_AUTH_STRING"
_SERVER_AUTH: Final = "PREFECT_SERVER_API_AUTH_STRING"
_LOOPBACK: Final = "127.0.0.1"
_START_S: Final = 120.0
_STOP_S: Final = 5.0
_POLL_S: Final = 0.05
_DRAIN_S: Final = 20
_ATTEMPTS: Final = 3
# As Prefect starts a temporary server itself; started from here, its second of imports and its
# database stay out of this process, and the wait for it can be spent on other work.
_SERVER: Final = ("-m", "flows.api_server")
_SERVER_ENVIRONMENT: Final = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


class PrefectServer:
    """A Prefect API that is on its way from construction on; a context manager that stops it.

    The one named by ``PREFECT_API_URL`` is taken as it is and left alone. Otherwise a server is
    started on a free port and its URL exported, so that worker processes started later share it
    instead of starting their own. It ends with this process, however this process ends.

    Args:
        host: address of this machine at which it listens. At one that other machines reach, it
            answers only to a password made for this run, which workers get with their tasks.
    """

    def __init__(self, host: str = _LOOPBACK) -> None:
        self.url = os.environ.get(_API_URL, "")
        self._host = host
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
            if self._guarded:
                os.environ.pop(_API_AUTH, None)
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

    @property
    def _guarded(self) -> bool:
        return self._host != _LOOPBACK

    def _start(self) -> None:
        port = _free_port(self._host)
        self.url = f"http://{self._host}:{port}/api"
        environment = {**os.environ, **_SERVER_ENVIRONMENT}
        if self._guarded:
            password = f"primus-prep:{secrets.token_urlsafe(32)}"
            os.environ[_API_AUTH] = environment[_SERVER_AUTH] = password
        self._process = subprocess.Popen(
            [
                sys.executable,
                *_SERVER,
                *("--host", self._host, "--port", str(port)),
                *("--log-level", "error", "--lifespan", "on"),
            ],
            # Held open as long as this process lives.
            stdin=subprocess.PIPE,
            # Standard output is the report's alone.
            stdout=subprocess.DEVNULL,
            env=environment,
            # What a terminal sends on Ctrl-C is for the driver, which still has things to tell it.
            start_new_session=True,
        )
        os.environ[_API_URL] = self.url


@contextmanager
def prefect_api(url: str) -> Iterator[None]:
    """Let flows of this process run against the API at ``url``; what they told it is sent."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    settings: dict[Any, Any] = {PREFECT_API_URL: url}
    if _API_AUTH in os.environ:
        settings[PREFECT_API_AUTH_STRING] = os.environ[_API_AUTH]
    with temporary_settings(settings):
        try:
            yield
        finally:
            _drain_prefect()


def _free_port(host: str) -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.bind((host, 0))
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
    finally:
        if process.stdin is not None:
            process.stdin.close()


def _drain_prefect() -> None:
    # Events and logs are sent by threads of their own; left with a queue, they would go on trying
    # to reach a server that is gone, and keep the process from ending.
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for service in (EventsWorker, APILogWorker):
        waiting: Any = service.drain_all(timeout=_DRAIN_S)
        del waiting
