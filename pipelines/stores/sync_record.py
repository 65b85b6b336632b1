"""A take's sync audit: measured once for a pair of parts, then remembered beside them."""

import json
from dataclasses import asdict
from typing import Any, Final

from pipelines.align.sync_audit import SyncAudit, measure_lag
from pipelines.config import AuditConfig
from pipelines.parts.motion_trace import read_motion_trace
from pipelines.parts.store import PartStore
from pipelines.storage.faults import storage_faults
from pipelines.storage.files import write_atomic
from pipelines.storage.places import Place
from schemas.faults import with_retries
from schemas.store import canonical_json, sha256_hex
from schemas.time import NS_PER_MS

__all__ = ["SYNC_RECORD_VERSION", "find_sync_audit", "sync_record_path", "write_sync_record"]

SYNC_RECORD_VERSION: Final = 3
"""Raised by hand when the measurement changes; older records are then passed over."""

_LOCAL: Final = ("local_lag_ms", "local_r2", "local_confidence")


def sync_record_path(
    parts: PartStore, *, imu_key: str, frames_key: str, config: AuditConfig
) -> Place:
    """Return where the audit of two parts is remembered."""
    identity = [SYNC_RECORD_VERSION, imu_key, frames_key, config.max_lag_ms, config.window_s]
    key = sha256_hex(canonical_json(identity))
    return parts.root / "lag" / key[:2] / f"{key}.json"


def find_sync_audit(
    parts: PartStore, *, imu_key: str, frames_key: str, config: AuditConfig
) -> SyncAudit:
    """Return the audit of a take, measured from its parts unless it was before.

    It holds the lag of every second, so publishing other windows or splits of the same parts
    measures nothing again. A record that does not match its own digest is measured anew.

    Args:
        parts: the parts; the record lies beside them.
        imu_key: of the imu part.
        frames_key: of the frames part.
        config: lags tried and length of the local windows.

    Raises:
        StoreDamagedError: if a part is missing or damaged.
        StorageError: if the place does not answer or may not be read.
    """
    path = sync_record_path(parts, imu_key=imu_key, frames_key=frames_key, config=config)
    found = _read(path)
    if found is not None:
        return found
    trace = read_motion_trace(parts, imu_key=imu_key, frames_key=frames_key)
    audit = measure_lag(
        gyro_t_ns=trace.gyro_t_ns,
        gyro_rad_s=trace.gyro_rad_s,
        motion_t_ns=trace.motion_t_ns,
        motion=trace.motion,
        max_lag_ns=config.max_lag_ms * NS_PER_MS,
        window_s=config.window_s,
    )
    write_sync_record(path, audit)
    return audit


def write_sync_record(path: Place, audit: SyncAudit) -> None:
    """Remember an audit at ``path``, with its digest."""
    body = asdict(audit)
    write_atomic(path, canonical_json({"audit": body, "sha256": sha256_hex(canonical_json(body))}))


def _read(path: Place) -> SyncAudit | None:
    try:
        with storage_faults(path):
            record = json.loads(with_retries(path.read_bytes, what=f"read {path}"))
        body: dict[str, Any] = record["audit"]
        if record["sha256"] != sha256_hex(canonical_json(body)):
            return None
        return SyncAudit(**{**body, **{name: tuple(body[name]) for name in _LOCAL}})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
