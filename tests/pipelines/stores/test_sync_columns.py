from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.align.sync_audit import SyncAudit
from pipelines.config import AuditConfig
from pipelines.stores.sync_columns import correction_ns, describe_sync
from schemas.segment import SEGMENT_SCHEMA

MS = 1_000_000
S = 1_000_000_000
STEP_NS = 20 * MS
AUDIT = SyncAudit(
    lag_ns=151 * MS,
    r2=0.456,
    confidence=0.4,
    drift_ns=-7 * MS,
    origin_ns=0,
    seconds=22,
    window_s=20,
    local_lag_ms=(-60, None, 3),
    local_r2=(0.5, 0.01, 0.75),
    local_confidence=(0.25, 0.0, 0.875),
)
MIDS_NS = np.array([2, 11, 21, 40], np.int64) * S


def describe(audit: SyncAudit | None, **config: Any) -> dict[str, list[Any]]:
    found = describe_sync(audit, mid_ns=MIDS_NS, config=AuditConfig(**config), step_ns=STEP_NS)
    columns = found.to_dict(as_series=False)
    table = found.to_arrow().cast(pa.schema([SEGMENT_SCHEMA.field(name) for name in columns]))
    assert table.num_rows == 4
    return columns


def test_columns_of_a_take_and_of_its_segments() -> None:
    assert describe(AUDIT) == {
        "take_lag_ns": [151 * MS] * 4,
        "take_lag_r2": [0.456] * 4,
        "take_lag_confidence": [0.4] * 4,
        "take_lag_drift_ns": [-7 * MS] * 4,
        "segment_lag_ns": [-60 * MS, None, 3 * MS, None],
        "segment_lag_r2": [0.5, pytest.approx(0.01), 0.75, None],
        "segment_lag_confidence": [0.25, 0.0, 0.875, None],
        "sync_suspect": [True] * 4,
        "imu_correction_ns": [0] * 4,
    }


def test_nothing_measured_is_null_and_nothing_is_corrected() -> None:
    columns = describe(None, correct=True)
    assert columns.pop("imu_correction_ns") == [0] * 4
    assert all(values == [None] * 4 for values in columns.values())
    assert len(columns) == 8


def test_without_an_audit_every_column_is_null() -> None:
    assert all(values == [None] * 4 for values in describe(None, enabled=False).values())


@pytest.mark.parametrize(
    ("lag_ms", "suspect"), [(150, False), (-150, False), (-151, True), (None, None), (0, False)]
)
def test_take_is_suspect_beyond_the_limit_either_way(
    lag_ms: int | None, suspect: bool | None
) -> None:
    audit = replace(AUDIT, lag_ns=None if lag_ms is None else lag_ms * MS)
    assert describe(audit)["sync_suspect"] == [suspect] * 4


def test_limit_is_the_configs() -> None:
    assert describe(AUDIT, suspect_ms=151)["sync_suspect"] == [False] * 4


@pytest.mark.parametrize(
    ("lag_ms", "moved_ms"), [(151, 160), (-151, -160), (149, 140), (-9, 0), (9, 0), (None, 0)]
)
def test_correction_is_the_lag_in_whole_grid_steps(lag_ms: int | None, moved_ms: int) -> None:
    audit = replace(AUDIT, lag_ns=None if lag_ms is None else lag_ms * MS)
    assert describe(audit, correct=True)["imu_correction_ns"] == [moved_ms * MS] * 4
    off = AuditConfig(correct=False)
    assert correction_ns(audit, config=off, step_ns=STEP_NS) == 0
