"""Measured rates, kept for the next time: one small file a machine, encoder and way of running."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from pipelines.config import PrepConfig
from pipelines.parts.keys import PART_VERSIONS
from pipelines.pricing.rates import Rates
from pipelines.storage.faults import storage_faults
from pipelines.storage.files import write_atomic
from pipelines.storage.places import Place
from schemas.embedding import EmbeddingSpec
from schemas.errors import StorageError
from schemas.faults import with_retries
from schemas.store import canonical_json, sha256_hex

__all__ = ["RATES_VERSION", "find_rates", "keep_rates", "rates_identity"]

RATES_VERSION: Final = 1
"""Raised by hand when what is measured changes; older files are then passed over."""


def rates_identity(
    config: PrepConfig, *, spec: EmbeddingSpec | None, variants: Sequence[str]
) -> str:
    """Return a digest of all that measured rates hold for.

    Args:
        config: of the run.
        spec: of its encoder.
        variants: copies of the picture that are decoded.
    """
    execution = config.execution
    identity: dict[str, Any] = {
        "version": RATES_VERSION,
        "machine": [platform.node(), platform.machine(), platform.processor(), os.cpu_count()],
        "parts": dict(PART_VERSIONS),
        "dataset": config.dataset.name,
        "encoder": spec.model_dump(mode="json") if spec is not None else None,
        "variants": sorted(variants),
        "imu": config.imu.model_dump(mode="json"),
        "video": config.video.model_dump(mode="json"),
        "segments": config.segments.model_dump(mode="json"),
        "audit": config.audit.model_dump(mode="json"),
        "execution": [execution.executor, execution.workers, execution.threads_per_worker],
    }
    return sha256_hex(canonical_json(identity))[:16]


def find_rates(config: PrepConfig, *, identity: str) -> tuple[Rates, Place] | None:
    """Return rates kept under ``identity`` and their file; None where there are none.

    A file that cannot be read as rates is passed over: they are measured again then.
    """
    for folder in _folders(config):
        path = folder / f"{identity}.json"
        try:
            with storage_faults(path):
                found = with_retries(path.read_bytes, what=f"read {path}")
            return Rates.model_validate_json(found), path
        except (OSError, StorageError, ValidationError):
            continue
    return None


def keep_rates(config: PrepConfig, *, identity: str, rates: Rates) -> Place | None:
    """Write rates for the next time; return the file, None where no folder can be written to."""
    for folder in _folders(config):
        path = folder / f"{identity}.json"
        try:
            write_atomic(path, canonical_json(rates.model_dump(mode="json")))
        except (OSError, StorageError):
            continue
        return path
    return None


def _folders(config: PrepConfig) -> tuple[Place, Path]:
    # Beside the parts, and in the user's own cache where these may only be read.
    home = os.environ.get("XDG_CACHE_HOME")
    cache = Path(home) if home else Path.home() / ".cache"
    return config.parts_root / "state" / "rates", cache / "primus-prep" / "rates"
