"""Lag of a take's gyro behind its picture: measured once for a pair of parts, then remembered."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.align.sync_audit import SyncAudit
from pipelines.parts.store import PartStore
from pipelines.stores.files import write_atomic
from schemas.store import canonical_json, sha256_hex
from schemas.time import NS_PER_MS

__all__ = ["TAKE_LAG_VERSION", "find_take_lag", "take_lag_path"]

TAKE_LAG_VERSION: Final = 1
"""Raised by hand when the measurement changes; older records are then passed over."""


def take_lag_path(parts: PartStore, *, imu_key: str, frames_key: str) -> Path:
    """Return where the lag between two parts is remembered."""
    key = sha256_hex(canonical_json([TAKE_LAG_VERSION, imu_key, frames_key]))
    return parts.root / "lag" / key[:2] / f"{key}.json"


def find_take_lag(
    parts: PartStore, *, imu_key: str, frames_key: str, measure: Callable[[], SyncAudit]
) -> tuple[int | None, float | None]:
    """Return (lag in nanoseconds, R2), each None where it cannot be told.

    Publishing another window length or split of the same parts measures nothing again. A record
    that does not match its own digest is measured anew.

    Args:
        parts: the parts; the record lies beside them.
        imu_key: of the imu part.
        frames_key: of the frames part.
        measure: called only where there is no sound record.
    """
    path = take_lag_path(parts, imu_key=imu_key, frames_key=frames_key)
    found = _read(path)
    if found is not None:
        return found
    audit = measure()
    # Least squares may differ in its last bits with the number of threads; a version may not.
    lag_ns = round(audit.lag_ns / NS_PER_MS) * NS_PER_MS if audit.lag_ns is not None else None
    r2 = round(float(audit.r2), 3) if np.isfinite(audit.r2) else None
    body = {"lag_ns": lag_ns, "r2": r2}
    write_atomic(path, canonical_json({**body, "sha256": sha256_hex(canonical_json(body))}))
    return lag_ns, r2


def _read(path: Path) -> tuple[int | None, float | None] | None:
    try:
        record = json.loads(path.read_bytes())
        body = {"lag_ns": record["lag_ns"], "r2": record["r2"]}
        sound = record["sha256"] == sha256_hex(canonical_json(body))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return (body["lag_ns"], body["r2"]) if sound else None
