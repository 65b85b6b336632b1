"""What a run costs beside its takes: measured on a run of takes that hold next to nothing."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipelines.config import PrepConfig
from schemas.errors import PrimusError
from schemas.time import NS_PER_S

__all__ = ["measure_start", "write_nothing_dataset"]

_SECONDS = 6
_RATE_HZ = 100
_MORE_TASKS = 8
_LIMIT_S = 300
_GRAVITY_M_S2 = 9.81


def measure_start(config: PrepConfig, *, folder: Path) -> dict[str, float]:
    """Return the seconds a run costs whatever its takes hold: ``start`` and ``task``.

    The program itself is run, in a process of its own, with the config's executor, workers and
    encoder, on recordings of a few seconds without picture or sentences: one a worker, so that
    each of them starts; those recordings' own work is some hundredths of a second. A scheduler that
    runs already is not used: what is started here are threads.

    Args:
        config: of the run to be priced.
        folder: an empty one; datasets and stores go there.

    Raises:
        PrimusError: if the program fails; its last words are in the sentence.
    """
    execution = config.execution.model_dump(mode="json", exclude={"profile", "dask_report"})
    if config.execution.dask_address is not None or config.execution.cluster != "local":
        # What is started here are threads, not jobs.
        execution.update({"executor": "threads", "dask_address": None, "cluster": "local"})
    workers = 1 if execution["executor"] == "inline" else config.execution.workers
    encoder = config.encoder.model_dump(mode="json")
    # The first on a machine makes Prefect's database and reads every library from disk, which no
    # later run does.
    few = min(
        _run(folder / name, takes=workers, encoder=encoder, execution=execution)
        for name in ("first", "few")
    )
    if execution["executor"] != "dask":
        # A task on a thread costs about a hundredth of a second.
        return {"start": few, "task": 0.0}
    more = workers * (1 + _MORE_TASKS)
    many = _run(folder / "many", takes=more, encoder=encoder, execution=execution)
    task = max(0.0, many - few) / _MORE_TASKS
    return {"start": max(0.0, few - task), "task": task}


def write_nothing_dataset(root: Path, *, takes: int) -> None:
    """Write recordings of an IMU at rest into ``root``, in the layout of own data."""
    root.mkdir(parents=True)
    t_ns = np.arange(_SECONDS * _RATE_HZ, dtype=np.int64) * (NS_PER_S // _RATE_HZ)
    for i in range(takes):
        # Seeded noise, so that each has parts of its own.
        noise = np.random.default_rng(i).normal(scale=0.01, size=(6, len(t_ns)))
        noise[2] += _GRAVITY_M_S2
        names = [f"{sensor}_{axis}" for sensor in ("accel", "gyro") for axis in "xyz"]
        table = pa.table({"t_ns": t_ns, **dict(zip(names, noise, strict=True))})
        pq.write_table(table, root / f"{i}.parquet")
    rows = "\n".join(f"{i},{i},{i}.parquet" for i in range(takes))
    (root / "takes.csv").write_text(f"take_uid,participant,imu\n{rows}\n", encoding="utf-8")


def _run(folder: Path, *, takes: int, encoder: dict[str, Any], execution: dict[str, Any]) -> float:
    write_nothing_dataset(folder / "dataset", takes=takes)
    fields = {
        "dataset": {"name": "folder", "root": str(folder / "dataset")},
        "store": {"uri": str(folder / "store")},
        "encoder": encoder,
        "segments": {"policy": "stride", "require": ["imu"]},
        "execution": {**execution, "batch_takes": 1},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    command = [sys.executable, "-m", "flows.cli", "run", "--config", str(path), "--json"]
    began = time.perf_counter()
    code, said = _call(command)
    if code:
        last = said.strip().splitlines()[-1:] or ["nothing"]
        raise PrimusError(f"a run must start to be timed, got exit code {code} and: {last[0]}")
    return time.perf_counter() - began


def _call(command: list[str]) -> tuple[int, str]:
    """Run a command; return its exit code and what it wrote to standard error."""
    # A session of its own: a run that hangs is ended together with its server and workers.
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=_LIMIT_S)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise PrimusError(
                    f"start-up must take less than {_LIMIT_S} s, it took longer"
                ) from error
            raise
    return process.returncode, said
