"""A real S3 server (moto's) in a process of its own, whose faults are switched while it runs.

``python -m tests.storage_server`` serves on a free loopback port and prints its address. A list of
faults is PUT as JSON to ``/__faults``, which forgets the counts of before; GET tells the counts.
A fault's ``every`` n-th request that it applies to is answered wrongly, as its ``kind`` says:

- ``500``, ``503``: InternalError or SlowDown, nothing done;
- ``refuse``: 403 with the word ``code``, nothing done;
- ``delay``: answered after ``delay_s``, rightly;
- ``cut``: the connection ends in the middle: of the answer's body for GET, of the request's for
  PUT and POST, before an answer for the others;
- ``cut_after``: done, but the connection ends before the answer;
- ``short``: an answer that holds half of the body and says that this is all.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import uuid4

__all__ = ["Fault", "S3Server", "running_s3_server"]

Kind = Literal["500", "503", "refuse", "delay", "cut", "cut_after", "short"]

_CONTROL = "/__faults"
_ERRORS = {
    "500": ("500 Internal Server Error", "InternalError", "We encountered an internal error."),
    "503": ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
    "refuse": ("403 Forbidden", "", "Refused."),
}
_START_S = 60.0
_KEY, _SECRET = "AKIATESTTESTTESTTEST", "s3cr3t-that-must-never-be-seen-anywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way in which some of the requests go wrong."""

    kind: Kind
    every: int = 1
    """The n-th, 2n-th, ... of the requests that it applies to."""
    methods: tuple[str, ...] = ("GET", "PUT", "POST", "HEAD", "DELETE")
    path: str = ""
    """Only requests whose path holds it."""
    at_most: int | None = None
    """So many times, then never again."""
    delay_s: float = 0.0
    code: str = "AccessDenied"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A server that runs: where it is, and how to make it fail."""

    url: str
    access_key: str = _KEY
    secret_key: str = _SECRET

    def environment(self) -> dict[str, str]:
        """Return what a process must have in its environment to use the server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def fail(self, *faults: Fault) -> None:
        """Let requests go wrong from now on; without faults none does."""
        self._control([asdict(fault) for fault in faults])

    def counts(self) -> dict[str, Any]:
        """Return requests by method, and faults by kind, since the last :meth:`fail`."""
        counts: dict[str, Any] = self._control(None)
        return counts

    def make_bucket(self) -> str:
        """Return the name of a new, empty bucket."""
        name = f"bucket-{uuid4().hex[:12]}"
        _ask(f"{self.url}/{name}", method="PUT")
        return name

    def _control(self, faults: list[dict[str, Any]] | None) -> Any:
        data = None if faults is None else json.dumps(faults).encode()
        method = "GET" if faults is None else "PUT"
        return json.loads(_ask(self.url + _CONTROL, method=method, data=data))


@contextmanager
def running_s3_server() -> Iterator[S3Server]:
    """Start a server process on a free port of this machine, and end it afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.storage_server"],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))),  # noqa: PTH100, PTH120
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line.startswith("http://"):
            raise RuntimeError(f"the S3 server must say its address, got {line!r}")
        yield S3Server(line)
    finally:
        process.kill()
        process.communicate(timeout=30)


def _ask(url: str, *, method: str, data: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, method=method, data=data)
    with urllib.request.urlopen(request, timeout=_START_S) as answer:
        body: bytes = answer.read()
        return body


class _Faulty:
    """WSGI application: another one, some of whose answers go wrong."""

    def __init__(self, sound: Callable[..., Iterable[bytes]]) -> None:
        self._sound = sound
        self._lock = threading.Lock()
        self._faults: list[dict[str, Any]] = []
        self._seen: list[int] = []
        self._done: list[int] = []
        self._requests: dict[str, int] = {}

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if environ["PATH_INFO"] == _CONTROL:
            return self._control(environ, start_response)
        fault = self._next_fault(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        kind = fault["kind"] if fault is not None else None
        if fault is not None:
            time.sleep(fault["delay_s"])
        if fault is not None and kind in _ERRORS:
            # What is not read would be taken for the next request.
            _read_body(environ)
            status, code, message = _ERRORS[kind]
            code = code or fault["code"]
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>"
            return _answer(start_response, status, f"{body}</Error>".encode())
        if kind == "cut" and environ["REQUEST_METHOD"] in ("PUT", "POST"):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0) // 2)
        if kind == "cut" and environ["REQUEST_METHOD"] != "GET":
            return _hang_up(environ)
        if kind not in ("cut", "cut_after", "short"):
            return self._sound(environ, start_response)
        said: list[Any] = []

        def keep(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], None]:
            said.extend((status, headers))
            return lambda data: None

        body = b"".join(self._sound(environ, keep))
        status, headers = said
        half = body[: len(body) // 2]
        if kind == "cut_after":
            return _hang_up(environ)
        if kind == "short":
            length = [("Content-Length", str(len(half)))]
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
            start_response(status, headers + length)
            return [half]
        start_response(status, headers)
        return _cut(half, environ)

    def _next_fault(self, method: str, path: str) -> dict[str, Any] | None:
        with self._lock:
            self._requests[method] = self._requests.get(method, 0) + 1
            chosen = None
            for i, fault in enumerate(self._faults):
                if method not in fault["methods"] or fault["path"] not in path:
                    continue
                self._seen[i] += 1
                spent = fault["at_most"] is not None and self._done[i] >= fault["at_most"]
                if chosen is None and not spent and self._seen[i] % fault["every"] == 0:
                    chosen = fault
                    self._done[i] += 1
            return chosen

    def _control(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        with self._lock:
            if environ["REQUEST_METHOD"] == "PUT":
                self._faults = json.loads(_read_body(environ))
                self._seen = [0] * len(self._faults)
                self._done = [0] * len(self._faults)
                self._requests = {}
            kinds: dict[str, int] = {}
            for fault, done in zip(self._faults, self._done, strict=True):
                kinds[fault["kind"]] = kinds.get(fault["kind"], 0) + done
            said = json.dumps({"requests": self._requests, "faults": kinds})
        return _answer(start_response, "200 OK", said.encode())


def _read_body(environ: Mapping[str, Any]) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body


def _answer(start_response: Callable[..., Any], status: str, body: bytes) -> Sequence[bytes]:
    start_response(
        status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    )
    return [body]


def _cut(half: bytes, environ: Mapping[str, Any]) -> Iterator[bytes]:
    yield half
    _hang_up(environ)


def _hang_up(environ: Mapping[str, Any]) -> Iterable[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionError("cut, as was asked for")


def _serve() -> None:
    import logging

    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    application = _Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


def _end_with_parent() -> None:
    # The pipe ends when whoever started the server does, also by SIGKILL.
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _serve()
