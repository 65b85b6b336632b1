"""The jobs of a SLURM cluster that hold a run's Dask workers."""

import re
from pathlib import Path
from typing import Final, Self

from pydantic import Field, field_validator, model_validator

from pipelines.config.closed import Closed

__all__ = ["SlurmConfig", "parse_amount"]

_AMOUNT: Final = re.compile(r"\d+(\.\d+)?\s*[kKMGT]i?B")


class SlurmConfig(Closed):
    """The jobs of a SLURM cluster that hold a run's Dask workers."""

    queue: str | None = Field(default=None, description="partition; default the cluster's own")
    account: str | None = Field(default=None, description="who pays; default the user's own")
    cores: int = Field(default=8, ge=1, description="cores a job, shared by its workers")
    memory: str = Field(default="16GB", description="memory a job, shared by its workers")
    walltime: str = Field(default="12:00:00", description="longest time of a job, as h:m:s")
    processes: int = Field(default=1, ge=1, description="workers a job")
    interface: str | None = Field(
        default=None, description="network interface that jobs and driver share, such as ib0"
    )
    prologue: tuple[str, ...] = Field(
        default=(), description="shell lines before the workers start, such as: module load ffmpeg"
    )
    extra: tuple[str, ...] = Field(
        default=(), description="further options of sbatch, such as --gres=gpu:1"
    )
    python: str | None = Field(
        default=None, description="interpreter on the nodes; default this one's path"
    )
    log_folder: Path | None = Field(default=None, description="for what the jobs write")

    @field_validator("memory")
    @classmethod
    def _is_an_amount(cls, value: str) -> str:
        return parse_amount(value)

    @model_validator(mode="after")
    def _a_core_a_worker(self) -> Self:
        if self.cores < self.processes:
            raise ValueError(
                f"cores must be enough for processes, got {self.cores} and {self.processes}"
            )
        return self


def parse_amount(value: str) -> str:
    """Return an amount of memory as it was written, such as 4GB.

    Raises:
        ValueError: if it is none.
    """
    if _AMOUNT.fullmatch(value) is None:
        raise ValueError(f"an amount of memory must look like 4GB or 512MiB, got {value!r}")
    return value
