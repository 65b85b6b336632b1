"""The one unit of distributed work: a batch of takes. Plain data in, plain data out."""

from typing import Any

from pipelines.config import PrepConfig
from pipelines.prepare import cores_per_worker, prepare_batch

__all__ = ["run_batch"]


def run_batch(config: dict[str, Any], take_uids: list[str]) -> list[dict[str, Any]]:
    """Prepare some takes and return their outcomes as plain JSON values.

    Safe to repeat: parts that are there already are not made again.
    """
    parsed = PrepConfig.model_validate(config)
    threads = cores_per_worker(parsed.execution.workers)
    outcomes = prepare_batch(parsed, take_uids, torch_threads=threads)
    return [outcome.model_dump(mode="json") for outcome in outcomes]
