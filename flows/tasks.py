"""The one unit of distributed work: a batch of takes. Plain data in, plain data out."""

from typing import Any

from pipelines.config import PrepConfig
from pipelines.encoders.registry import open_encoder
from pipelines.prepare import prepare_batch
from schemas.embedding import EmbeddingSpec

__all__ = ["run_batch", "warm_worker"]


def run_batch(
    config: dict[str, Any], take_uids: list[str], encoder: dict[str, Any] | None, run: str
) -> list[dict[str, Any]]:
    """Prepare some takes and return their outcomes as plain JSON values.

    Safe to repeat: parts that are there already are not made again.

    Args:
        config: of the run.
        take_uids: the batch.
        encoder: spec of the driver's encoder; None without one.
        run: names the run.
    """
    parsed = PrepConfig.model_validate(config)
    spec = EmbeddingSpec.model_validate(encoder) if encoder is not None else None
    outcomes = prepare_batch(parsed, take_uids, encoder_spec=spec, run=run)
    return [outcome.model_dump(mode="json") for outcome in outcomes]


def warm_worker(config: dict[str, Any]) -> None:
    """Import what tasks need and open the encoder, once a process, before the first take.

    Raises:
        UsageError: if the encoder cannot be loaded here.
    """
    # A task run of Prefect imports its engine where it runs.
    import prefect.task_engine

    del prefect
    open_encoder(PrepConfig.model_validate(config).encoder)
