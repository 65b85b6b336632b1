"""Where the real recordings lie, and what happens when they do not."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage_server import S3Server, running_s3_server

ROOT = Path(__file__).parents[1]
SHARED_DATA = Path(os.environ.get("PRIMUS_SHARED_DATA", ROOT.parent / "shared" / "data"))


def pytest_configure() -> None:
    """Let the programs that tests start hear Ctrl-C, also where the tests run in the background.

    A shell has its background jobs ignore it, and every process started by them inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings; skips where it is absent, but never in CI."""
    if SHARED_DATA.is_dir():
        return SHARED_DATA
    if os.environ.get("CI"):
        pytest.fail(f"real recordings must lie in {SHARED_DATA} when CI is set")
    pytest.skip(f"no real recordings in {SHARED_DATA}; set PRIMUS_SHARED_DATA to their folder")


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3Server]:
    """An S3 server process for all tests; :func:`s3_server` is what a test takes."""
    with running_s3_server() as server:
        yield server


@pytest.fixture
def s3_server(s3_process: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The S3 server, sound, with its credentials in this process's environment."""
    from s3fs import S3FileSystem

    for name, value in s3_process.environment().items():
        monkeypatch.setenv(name, value)
    # A file system keeps the endpoint and the credentials that it was opened with.
    S3FileSystem.clear_instance_cache()
    s3_process.fail()
    yield s3_process
    s3_process.fail()
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def s3_store(s3_server: S3Server) -> str:
    """URI of a store, not yet there, in a bucket of its own."""
    return f"s3://{s3_server.make_bucket()}/store"
