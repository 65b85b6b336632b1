"""Workers as processes, each with a device of its own where there are several."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from primus_train.cores import usable_cores
from primus_train.studies.schedule import Schedule, serve
from primus_train.studies.work import Note, attempt
from schemas.errors import StorageError

__all__ = ["do_all", "visible_devices"]

_MODULE: Final = "primus_train.studies.worker"
_DEVICES: Final = "CUDA_VISIBLE_DEVICES"
_THREADS: Final = "OMP_NUM_THREADS"


def visible_devices() -> tuple[str, ...]:
    """Return what this process may call its CUDA devices, for a process that gets one of them."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get(_DEVICES)
    names = named.split(",") if named else [str(number) for number in range(count)]
    return tuple(names[:count])


class _Worker:
    """A process, begun when it is needed, and anew after it died."""

    def __init__(self, *, device: str, environment: dict[str, str], inherit: Sequence[int]) -> None:
        self._device = device
        self._environment = environment
        self._inherit = tuple(inherit)
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, order: dict[str, Any], *, note: Note) -> dict[str, Any]:
        process = self._process or self._begin()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({**order, "device": self._device}).encode() + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                message: dict[str, Any] = json.loads(line)
                if "note" not in message:
                    return message
                note(message["note"])
        except BrokenPipeError:
            pass  # it is gone, as below
        code = self.close()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return {"failed": f"worker must answer, it ended by {how}: run the study again"}

    def _begin(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
            pass_fds=self._inherit,
        )
        return self._process

    def stop(self) -> int:
        """Let the process stop what it is at and end; return its exit code."""
        process = self._process
        if process is None:
            return 0
        assert process.stdin is not None
        # The end of its input is the sign. What was not sent need not be.
        with suppress(BrokenPipeError):
            process.stdin.close()
        return process.wait()

    def close(self) -> int:
        """Stop the process and forget it; only the thread that it answers may."""
        code, process = self.stop(), self._process
        if process is not None and process.stdout is not None:
            process.stdout.close()
        self._process = None
        return code


def do_all(
    schedule: Schedule, *, jobs: int, device: str, devices: Sequence[str], inherit: Sequence[int]
) -> None:
    """Do all work of ``schedule``: here with one job, else in so many processes.

    Args:
        schedule: of the study.
        jobs: pieces of work at a time.
        device: ``auto``, ``cpu`` or ``cuda``.
        devices: names of CUDA devices, dealt to the processes in turn.
        inherit: file descriptors that the processes keep open as long as they live.

    Raises:
        RunStoppedError: if a signal stopped the one job.
        StorageError: if the processes cannot be started.
    """
    if jobs == 1:
        # In the main thread, where signals arrive.
        serve(schedule, lambda order, note: attempt(order, device=device, note=note))
        return
    workers = [
        _Worker(device=device, environment=_environment(i, jobs, devices), inherit=inherit)
        for i in range(jobs)
    ]
    faults: list[OSError] = []

    def work(worker: _Worker) -> None:
        try:
            serve(schedule, worker)
        except OSError as error:  # no process, no pipe
            faults.append(error)
            schedule.end()

    threads = [threading.Thread(target=work, args=(w,), daemon=True) for w in workers]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        schedule.end()
        for worker in workers:
            worker.stop()
        for thread in threads:
            thread.join()
        for worker in workers:
            worker.close()
    if faults:
        raise StorageError(f"workers must start, got {faults[0]}: give fewer --jobs")


def _environment(number: int, jobs: int, devices: Sequence[str]) -> dict[str, str]:
    environment = dict(os.environ)
    if devices:
        environment[_DEVICES] = devices[number % len(devices)]
    share = max(1, usable_cores() // jobs)
    # Also where the environment says more: what is meant for one process lets several wait for one
    # another, three times as long.
    asked = environment.get(_THREADS, "")
    environment[_THREADS] = str(min(share, int(asked) or share) if asked.isdecimal() else share)
    return environment
