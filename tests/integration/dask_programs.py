"""A Dask scheduler and workers as programs of their own, as on machines of a cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["DaskPrograms", "start_dask"]

_START_S = 120.0
ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class DaskPrograms:
    """Programs that were started, each in a session of its own.

    Attributes:
        folder: for their files.
        host: at which they listen.
        nanny: whether each worker has a nanny, which starts it anew when it dies.
    """

    folder: Path
    host: str = "127.0.0.1"
    nanny: bool = False
    scheduler: "subprocess.Popen[bytes] | None" = None
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    memory_limit: str = "0"

    @property
    def address(self) -> str:
        """Of the scheduler, once it listens."""
        path = self.folder / "scheduler.json"
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            with suppress(FileNotFoundError, json.JSONDecodeError):
                found: str = json.loads(path.read_text())["address"]
                return found
            assert self.scheduler is not None
            assert self.scheduler.poll() is None, "the scheduler ended"
            time.sleep(0.05)
        raise AssertionError(f"no scheduler within {_START_S} s")

    def start_scheduler(self) -> None:
        """Start a scheduler on a free port."""
        (self.folder / "scheduler.json").unlink(missing_ok=True)
        self.scheduler = self._start(
            "dask_scheduler",
            *("--host", self.host, "--port", "0", "--no-dashboard", "--no-show"),
            *("--scheduler-file", str(self.folder / "scheduler.json")),
        )

    def start_worker(self) -> "subprocess.Popen[bytes]":
        """Start one worker of one thread."""
        worker = self._start(
            "dask_worker",
            *(self.address, "--nthreads", "1", "--host", self.host, "--no-dashboard"),
            *("--memory-limit", self.memory_limit, "--nanny" if self.nanny else "--no-nanny"),
            *("--local-directory", str(self.folder)),
        )
        self.workers.append(worker)
        return worker

    def kill_scheduler(self) -> None:
        """Kill it at once, as a machine that fails would."""
        assert self.scheduler is not None
        _kill(self.scheduler)

    def stop(self) -> None:
        """Kill whatever still runs."""
        for process in [*self.workers, *([self.scheduler] if self.scheduler else [])]:
            _kill(process)

    def _start(self, program: str, *options: str) -> "subprocess.Popen[bytes]":
        log = (self.folder / f"{program}.log").open("ab")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{program}", *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )


@contextmanager
def start_dask(folder: Path, *, workers: int, **settings: str | bool) -> Iterator[DaskPrograms]:
    """Start a scheduler and its workers; kill what is left of them at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    programs = DaskPrograms(folder=folder, **settings)  # type: ignore[arg-type]
    try:
        programs.start_scheduler()
        for _ in range(workers):
            programs.start_worker()
        yield programs
    finally:
        programs.stop()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
