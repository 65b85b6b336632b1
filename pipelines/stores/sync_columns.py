"""What the sync audit says of a take's segments, and how far their IMU windows are moved."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.align.sync_audit import SyncAudit
from pipelines.config import AuditConfig
from schemas.time import NS_PER_MS

__all__ = ["correction_ns", "describe_sync"]

_COLUMNS: Final = {
    "take_lag_ns": pl.Int64(),
    "take_lag_r2": pl.Float64(),
    "take_lag_confidence": pl.Float64(),
    "take_lag_drift_ns": pl.Int64(),
    "segment_lag_ns": pl.Int64(),
    "segment_lag_r2": pl.Float64(),
    "segment_lag_confidence": pl.Float64(),
    "sync_suspect": pl.Boolean(),
    "imu_correction_ns": pl.Int64(),
}


def correction_ns(audit: SyncAudit | None, *, config: AuditConfig, step_ns: int) -> int:
    """Return by how much later IMU windows are cut: the take's lag, to whole grid steps.

    0 unless ``config.correct``, and where the lag cannot be told. A gyro that is late shows an
    event at t only at t + lag: there the window must start.
    """
    if not config.correct or audit is None or audit.lag_ns is None:
        return 0
    return round(audit.lag_ns / step_ns) * step_ns


def describe_sync(
    audit: SyncAudit | None,
    *,
    mid_ns: npt.NDArray[np.int64],
    config: AuditConfig,
    step_ns: int,
) -> pl.DataFrame:
    """Return the audit's columns of N segments, null where nothing was measured.

    Args:
        audit: of the take; None without picture, gyro or audit.
        mid_ns: (N,) middles of the segments.
        config: what makes a take suspect, and whether it is corrected.
        step_ns: of the imu grid.
    """
    count = len(mid_ns)
    moved_ns = correction_ns(audit, config=config, step_ns=step_ns) if config.enabled else None
    whole: dict[str, int | float | bool | None] = {"imu_correction_ns": moved_ns}
    local: dict[str, pl.Series] = {}
    if audit is not None:
        suspect = (
            None if audit.lag_ns is None else abs(audit.lag_ns) > config.suspect_ms * NS_PER_MS
        )
        whole |= {
            "take_lag_ns": audit.lag_ns,
            "take_lag_r2": audit.r2,
            "take_lag_confidence": audit.confidence,
            "take_lag_drift_ns": audit.drift_ns,
            "sync_suspect": suspect,
        }
        around = audit.around(mid_ns)
        lag_ns = pl.Series(around.lag_ns)
        local = {
            "segment_lag_ns": lag_ns.set(pl.Series(~around.told), None),
            "segment_lag_r2": pl.Series(around.r2.astype(np.float64)).fill_nan(None),
            "segment_lag_confidence": pl.Series(around.confidence.astype(np.float64)).fill_nan(
                None
            ),
        }
    return pl.DataFrame(
        {
            name: local[name]
            if name in local
            else pl.Series([whole.get(name)] * count, dtype=dtype)
            for name, dtype in _COLUMNS.items()
        },
        schema=_COLUMNS,
    )
