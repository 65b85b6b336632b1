"""Executors: the same batches on Prefect's threads or on Dask workers, largest takes first."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipelines.config import ExecutionConfig
from pipelines.datasets.mirror import file_size
from schemas.take import Take

__all__ = ["make_task_runner", "quiet_environment", "source_bytes", "split_batches"]

_QUIET = {
    # Nothing of this may reach for the internet or fill the terminal.
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    # What goes wrong is said once, by the program; as errors of a flow it would come with traces.
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
    "DO_NOT_TRACK": "1",
    "DASK_LOGGING__DISTRIBUTED": "critical",
}
# Batches a worker gets at least, where there are takes enough: with fewer, one worker's last batch
# would leave the others idle for long.
_BATCHES_A_WORKER: Final = 4


def quiet_environment() -> None:
    """Set what keeps Prefect and Dask quiet and offline; a user's own setting stands."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


def make_task_runner(execution: ExecutionConfig, *, dask_address: str | None) -> Any:  # noqa: ANN401 - Prefect's own generic
    """Return the Prefect task runner that ``execution`` asks for.

    Args:
        execution: of the run.
        dask_address: of the run's scheduler; None where there is none.
    """
    if dask_address is not None:
        from prefect_dask import DaskTaskRunner

        return DaskTaskRunner(address=dask_address)
    from prefect.task_runners import ThreadPoolTaskRunner

    return ThreadPoolTaskRunner(max_workers=execution.workers)


def source_bytes(take: Take, *, root: Path) -> int:
    """Return the size of a take's files; a file that is not there counts nothing."""
    paths = [
        *(take.imu.paths if take.imu is not None else ()),
        *(take.video.paths if take.video is not None else ()),
    ]
    return sum(_size(root, root / path) for path in dict.fromkeys(paths))


def split_batches(sizes: Mapping[str, int], *, size: int, workers: int) -> list[list[str]]:
    """Return batches of takes, the largest takes first.

    Whoever takes the next batch when free ends soon after the others if what comes last is small.
    What comes out of a run does not depend on it.

    Args:
        sizes: take_uid: bytes of its files.
        size: most takes in a batch; fewer where each worker would get less than four batches.
        workers: that share them.

    Raises:
        ValueError: if ``size`` or ``workers`` is not positive.
    """
    if size < 1 or workers < 1:
        raise ValueError(f"size and workers must be positive, got {size} and {workers}")
    ordered = sorted(sizes, key=lambda uid: (-sizes[uid], uid))
    fits = max(1, min(size, len(ordered) // (workers * _BATCHES_A_WORKER)))
    return [ordered[i : i + fits] for i in range(0, len(ordered), fits)]


def _size(root: Path, path: Path) -> int:
    try:
        return file_size(root, path)
    except (OSError, ValueError):
        # The take's own preparation says what is wrong with it.
        return 0
