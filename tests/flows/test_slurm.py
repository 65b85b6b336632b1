"""What SLURM is asked for, and what is refused before anything is asked."""

import shlex
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows.cluster import check_dask, host_for_workers, job_environment
from flows.slurm import check_slurm, job_options
from pipelines.config import ExecutionConfig, SlurmConfig
from schemas.errors import UsageError


def slurm(workers: int = 2, **fields: Any) -> ExecutionConfig:
    return ExecutionConfig(
        executor="dask", cluster="slurm", workers=workers, slurm=SlurmConfig(**fields)
    )


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name on PATH, which nobody calls."""
    program = tmp_path / "sbatch"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return program


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_job_is_asked_for_as_the_config_says(sbatch: Path, tmp_path: Path) -> None:
    check_slurm()
    from dask_jobqueue.slurm import SLURMJob

    execution = slurm(
        queue="long",
        account="lab7",
        cores=12,
        memory="48GiB",
        walltime="06:30:00",
        processes=3,
        interface="lo",
        prologue=("module load ffmpeg",),
        extra=("--gres=gpu:1", "--exclusive"),
        python="/opt/py/bin/python",
        log_folder=tmp_path / "logs",
    )
    options = job_options(execution, environment={"A_NAME": "a 'value'"})
    del options["scheduler_options"]
    lines = SLURMJob("tcp://10.0.0.1:8786", name="w0", **options).job_script().splitlines()
    for line in (
        "#SBATCH -J primus-prep",
        "#SBATCH -p long",
        "#SBATCH -A lab7",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=12",
        "#SBATCH --mem=48G",
        "#SBATCH -t 06:30:00",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --exclusive",
        f"#SBATCH -o {tmp_path}/logs/primus-prep-%J.out",
    ):
        assert lines.count(line) == 1, line
    export = next(line for line in lines if line.startswith("export A_NAME="))
    assert shlex.split(export) == ["export", "A_NAME=a 'value'"]
    command = shlex.split(lines[-1])
    assert command[:2] == ["/opt/py/bin/python", "-m"]
    assert "tcp://10.0.0.1:8786" in command
    given = dict(pairwise(command))
    # One task at a time a worker, whatever its cores; the job's memory in equal shares.
    assert (given["--nthreads"], given["--nworkers"]) == ("1", "3")
    assert (given["--memory-limit"], given["--interface"]) == ("16.00GiB", "lo")
    assert "--nanny" in command
    assert lines.index("module load ffmpeg") == len(lines) - 2


def test_a_job_of_defaults_names_no_queue_and_no_account() -> None:
    options = job_options(slurm(), environment={})
    assert not {"queue", "account", "interface", "python", "log_directory"} & options.keys()
    assert (options["cores"], options["job_cpu"], options["memory"]) == (1, 8, "16GB")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ctrl_c_stays_the_programs_own(sbatch: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    check_slurm()
    assert signal.getsignal(signal.SIGINT) is before


def test_without_sbatch_nothing_is_read_and_nothing_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="needs the program sbatch, it is not on PATH"):
        check_dask(slurm())
    check_dask(ExecutionConfig(executor="dask"))


def test_without_the_package_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs dask-jobqueue: pip install .*\[slurm\]"):
        check_slurm()


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"cluster": "slurm"}, "cluster slurm needs executor dask and no dask_address"),
        (
            {"executor": "dask", "cluster": "slurm", "dask_address": "tcp://a:1"},
            "got executor dask and dask_address tcp://a:1",
        ),
        ({"memory_limit": "4GB"}, "memory_limit is of worker processes"),
        (
            {"executor": "dask", "dask_processes": False, "memory_limit": "4GB"},
            "threads have none",
        ),
        (
            {"executor": "dask", "dask_address": "tcp://a:1", "memory_limit": "4GB"},
            "those of a scheduler at dask_address have their own",
        ),
        ({"executor": "dask", "memory_limit": "much"}, "must look like 4GB or 512MiB, got 'much'"),
        ({"slurm": {"memory": "16"}}, "must look like 4GB or 512MiB, got '16'"),
        ({"slurm": {"cores": 2, "processes": 3}}, "enough for processes, got 2 and 3"),
        ({"worker_timeout_s": 0}, "greater than 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(fields: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValidationError, match=rule):
        ExecutionConfig.model_validate(fields)


def test_threads_of_a_jobs_worker_are_its_share_of_the_job() -> None:
    assert slurm(workers=40, cores=8, processes=4).local_workers == 4
    assert ExecutionConfig(executor="dask", workers=40).local_workers == 40


def test_workers_elsewhere_find_us_where_they_are_looking() -> None:
    assert host_for_workers(ExecutionConfig(executor="threads")) == "127.0.0.1"
    assert host_for_workers(ExecutionConfig(executor="dask", workers=2)) == "127.0.0.1"
    near = ExecutionConfig(executor="dask", dask_address="tcp://127.0.0.1:8786")
    assert host_for_workers(near) == "127.0.0.1"
    assert host_for_workers(slurm(interface="lo")) == "127.0.0.1"
    with pytest.raises(UsageError, match=r"slurm.interface must be a network interface .*nowhere0"):
        host_for_workers(slurm(interface="nowhere0"))


def test_variables_of_a_job_say_what_settings_say_here() -> None:
    # Read back by Dask itself, in the two ways it is told.
    import dask
    from distributed.nanny import _get_env_variables

    name = "distributed.nanny.pre-spawn-environ"
    environment = job_environment(profiled=False)
    read = dask.config.collect_env(environment)
    config = dask.config.merge(dask.config.config, read)
    with dask.config.set(config):
        assert "MALLOC_TRIM_THRESHOLD_" not in _get_env_variables(name)
        assert _get_env_variables(name)["OMP_NUM_THREADS"] == "1"
        assert dask.config.get("distributed.worker.profile.enabled") is False
        assert dask.config.get("distributed.worker.memory.pause") is False
        assert dask.config.get("distributed.worker.memory.terminate") == 0.95
    assert "MALLOC_TRIM_THRESHOLD_" in _get_env_variables(name)
