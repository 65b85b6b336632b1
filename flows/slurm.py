"""A run's Dask workers as jobs of a SLURM cluster."""

import importlib.util
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from tempfile import NamedTemporaryFile
from typing import Any, Final

from pipelines.config import ExecutionConfig
from schemas.errors import PrimusError, UsageError

__all__ = ["check_slurm", "job_options", "start_slurm_cluster"]

_JOB_NAME: Final = "primus-prep"


def check_slurm() -> None:
    """Refuse a run on SLURM that could not submit a job; to be called in the main thread.

    Raises:
        UsageError: without dask-jobqueue or without sbatch.
    """
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise UsageError(
            "execution.cluster=slurm needs dask-jobqueue: pip install 'primus-pipelines[slurm]'"
        )
    if shutil.which("sbatch") is None:
        raise UsageError(
            "execution.cluster=slurm needs the program sbatch, it is not on PATH: run where jobs "
            "are submitted"
        )
    # Imported here, in the main thread: the package takes Ctrl-C for itself, and is not given it.
    interrupt = signal.getsignal(signal.SIGINT)
    import dask_jobqueue

    signal.signal(signal.SIGINT, interrupt)
    del dask_jobqueue


def start_slurm_cluster(execution: ExecutionConfig, *, environment: Mapping[str, str]) -> Any:  # noqa: ANN401 - no types
    """Return a cluster whose scheduler runs here, its jobs submitted.

    A job that ends before the run does, at its walltime or with its node, is submitted again.

    Args:
        execution: of the run.
        environment: of the jobs' workers.

    Raises:
        PrimusError: if SLURM refuses a job; its own words are in the sentence.
    """
    from dask_jobqueue import SLURMCluster

    jobs = -(-execution.workers // execution.slurm.processes)
    cluster: Any = SLURMCluster(**job_options(execution, environment=environment))
    try:
        # Dask submits in the background, where nobody would hear what SLURM has against a job.
        _check_script(cluster.job_script())
        cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
    except BaseException:
        cluster.close()
        raise
    return cluster


def job_options(execution: ExecutionConfig, *, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what dask-jobqueue's SLURMCluster is given.

    Args:
        execution: of the run.
        environment: of the jobs' workers.
    """
    slurm = execution.slurm
    exports = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    options: dict[str, Any] = {
        "queue": slurm.queue,
        "account": slurm.account,
        # One task at a time a worker: its other cores decode and encode for that one.
        "cores": slurm.processes,
        "job_cpu": slurm.cores,
        "memory": slurm.memory,
        "processes": slurm.processes,
        "walltime": slurm.walltime,
        "interface": slurm.interface,
        "job_script_prologue": [*exports, *slurm.prologue],
        "job_extra_directives": list(slurm.extra),
        "python": slurm.python,
        "log_directory": str(slurm.log_folder) if slurm.log_folder is not None else None,
        "job_name": _JOB_NAME,
        "scheduler_options": {"dashboard_address": None},
    }
    return {name: value for name, value in options.items() if value is not None}


def _check_script(script: str) -> None:
    with NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        done = subprocess.run(
            ["sbatch", "--test-only", file.name],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[0]
        raise PrimusError(f"SLURM must take the jobs that execution.slurm describes, got: {said}")
