"""Start programs, kill them for real at repeatable moments, and see that nothing outlives them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil

__all__ = [
    "PREP",
    "family",
    "kill_family",
    "kill_moments",
    "leftovers",
    "started",
    "wait_until",
    "wait_until_gone",
]

PREP = (sys.executable, "-m", "flows.cli")
"""What ``primus-prep`` stands for."""

_STARTED = "PRIMUS_TEST_FAMILY"


def kill_moments(*, seed: int, count: int, shortest_s: float, longest_s: float) -> list[float]:
    """Return moments in seconds, the same for the same seed, one in each equal part of the time."""
    rng = np.random.default_rng(seed)
    shares = (np.arange(count) + rng.random(count)) / count
    return [float(s) for s in shortest_s + shares * (longest_s - shortest_s)]


@contextmanager
def started(
    command: Sequence[str | Path], *, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a program that runs; whatever is left of it and its children is killed at the end.

    Its output lies in ``folder`` as ``out.txt`` and ``err.txt``. Each start is marked by a variable
    of the environment, which its children have too: they are found also when their parent is gone.

    Args:
        command: program and arguments.
        folder: for output, made if absent; Prefect's own files go there too.
        environment: more variables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mark = f"{folder}-{time.monotonic_ns()}"
    full = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        **(environment or {}),
        _STARTED: mark,
    }
    with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=out,
            stderr=err,
            stdin=subprocess.DEVNULL,
            env=full,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            kill_family(_marked(mark))
            process.wait(timeout=30)


def family(process: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """Return a running program and all that it started, itself first."""
    try:
        own = psutil.Process(process.pid)
        return [own, *own.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_family(members: Sequence[psutil.Process]) -> None:
    """SIGKILL each, all of them stopped first so that none sees another's end."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(number)


def wait_until(there: Callable[[], bool], *, timeout_s: float = 300.0) -> None:
    """Return as soon as ``there`` says so.

    Raises:
        TimeoutError: if it does not.
    """
    deadline = time.monotonic() + timeout_s
    while not there():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing happened in {timeout_s:g} s")
        time.sleep(0.02)


def wait_until_gone(members: Sequence[psutil.Process], *, timeout_s: float = 30.0) -> list[str]:
    """Return the command lines of those that still run after so long; none, if all is well."""
    _, alive = psutil.wait_procs(list(members), timeout=timeout_s)
    return [_said(member) for member in alive if _runs(member)]


def leftovers(store: Path) -> list[Path]:
    """Return temporary files and half-made versions that lie under a store's folder."""
    found = [p for p in store.rglob("*") if p.name.endswith(".tmp") or p.name.startswith(".tmp-")]
    return sorted(found)


def _marked(mark: str) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for candidate in psutil.process_iter():
        with suppress(psutil.Error):
            if candidate.environ().get(_STARTED) == mark:
                found.append(candidate)
    return found


def _runs(member: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return member.is_running() and member.status() != psutil.STATUS_ZOMBIE
    return False


def _said(member: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(member.cmdline())
    return f"process {member.pid}"
