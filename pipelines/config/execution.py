"""How the work is carried out, and how it is priced: no part of a version's identity."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.config.closed import Closed
from pipelines.config.slurm import SlurmConfig, parse_amount

__all__ = ["ExecutionConfig", "PlanConfig"]


class ExecutionConfig(Closed):
    """How the work is carried out; no part of a version's identity."""

    executor: Literal["inline", "threads", "dask"] = Field(
        default="threads", description="who runs"
    )
    workers: int = Field(default=2, ge=1, description="threads or worker processes")
    threads: int | None = Field(
        default=None,
        ge=1,
        description="threads a worker may keep busy with decoding and encoding; default this "
        "machine's cores shared among the workers, and all of them inline; changes no value",
    )
    dask_address: str | None = Field(default=None, description="an existing scheduler's address")
    dask_processes: bool = Field(
        default=True, description="a process a Dask worker of this machine; false: a thread"
    )
    cluster: Literal["local", "slurm"] = Field(
        default="local", description="where Dask workers are started: here, or as SLURM jobs"
    )
    slurm: SlurmConfig = SlurmConfig()
    memory_limit: str | None = Field(
        default=None,
        description="of a Dask worker process of this machine, such as 4GB: one that needs more is "
        "started anew; default its share of the machine",
    )
    worker_timeout_s: float = Field(
        default=300.0,
        gt=0,
        description="longest time without any Dask worker before the run gives up; longer where "
        "jobs wait in a queue",
    )
    batch_takes: int = Field(default=4, ge=1, description="takes a task")
    scratch: Path | None = Field(
        default=None,
        description="folder of this machine for what is fetched of a dataset in an object store; "
        "default the system's folder for temporary files",
    )
    profile: bool = Field(
        default=False, description="measure each stage's limit beside it and report both"
    )
    dask_report: Path | None = Field(
        default=None, description="HTML file for Dask's own performance report; needs bokeh"
    )

    @field_validator("memory_limit")
    @classmethod
    def _is_an_amount(cls, value: str | None) -> str | None:
        return value if value is None else parse_amount(value)

    @model_validator(mode="after")
    def _reports_of_dask_alone(self) -> Self:
        if self.dask_report is not None and self.executor != "dask":
            raise ValueError(f"dask_report needs executor dask, got executor {self.executor}")
        return self

    @model_validator(mode="after")
    def _one_kind_of_cluster(self) -> Self:
        if self.cluster == "slurm" and (self.executor != "dask" or self.dask_address is not None):
            raise ValueError(
                "cluster slurm needs executor dask and no dask_address, got executor "
                f"{self.executor} and dask_address {self.dask_address}"
            )
        started_here = self.executor == "dask" and self.cluster == "local" and not self.dask_address
        if self.memory_limit is not None and not (started_here and self.dask_processes):
            raise ValueError(
                "memory_limit is of worker processes that are started on this machine: a SLURM "
                "job's is slurm.memory, those of a scheduler at dask_address have their own, and "
                "threads have none"
            )
        return self

    @property
    def threads_per_worker(self) -> int:
        """Threads a worker may keep busy on this machine."""
        if self.threads is not None:
            return self.threads
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        return max(1, (cores or os.cpu_count() or 1) // self.local_workers)

    @property
    def local_workers(self) -> int:
        """Workers that share this machine; those of a cluster elsewhere have one to themselves."""
        if self.cluster == "slurm":
            return self.slurm.processes
        alone = self.executor == "inline" or self.dask_address is not None
        return 1 if alone else self.workers


class PlanConfig(Closed):
    """How a run is priced; no part of a version's identity."""

    rates: Mapping[str, float] = Field(
        default_factory=dict,
        description="in place of measured ones: a stage's items a second of one worker, start in "
        "seconds, storage in bytes a second",
    )
