"""Configs, outcomes and parts for the tests of what runs leave on record."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.config import PrepConfig, load_config
from pipelines.outcome import TakeOutcome
from pipelines.parts.store import PartKind, PartStore

KEY = "ab" * 32


def make_config(tmp_path: Path, **overrides: Any) -> PrepConfig:
    base = {
        "dataset.name": "egoexo4d",
        "dataset.root": str(tmp_path / "ds"),
        "store.uri": str(tmp_path / "store"),
        "execution.workers": 4,
    }
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return load_config(None, overrides={**base, **dotted})


def ready(take_uid: str, **changes: Any) -> TakeOutcome:
    fields = {"status": "ready", "segments": 5, "keys": {"imu": KEY}, "made": ("imu",)}
    return TakeOutcome.model_validate({"take_uid": take_uid, **fields, **changes})


def bad(take_uid: str, reason: str = "vrs_missing", segments: int = 3) -> TakeOutcome:
    return TakeOutcome(
        take_uid=take_uid, status="quarantined", reason=reason, detail="x", segments=segments
    )


def write_part(config: PrepConfig, kind: PartKind = "imu", key: str = KEY) -> int:
    """Write a small part and return its size."""
    batch = pa.record_batch({"t_ns": pa.array([1, 2, 3])})
    place = PartStore(config.parts_root).write(kind, key, schema=batch.schema, batches=[batch])
    return place.stat().st_size
