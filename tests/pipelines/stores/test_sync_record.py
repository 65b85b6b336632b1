from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.align.sync_audit import SyncAudit
from pipelines.config import AuditConfig
from pipelines.parts.motion_trace import MotionTrace
from pipelines.parts.store import PartStore
from pipelines.stores import sync_record
from pipelines.stores.sync_record import find_sync_audit, sync_record_path
from tests.factories import make_config, make_narration, write_fake_take

AUDIT = SyncAudit(
    lag_ns=-61_000_000,
    r2=0.456,
    confidence=0.4,
    drift_ns=None,
    origin_ns=0,
    seconds=22,
    window_s=20,
    local_lag_ms=(-60, None, 3),
    local_r2=(0.5, 0.01, 0.7),
    local_confidence=(0.3, 0.0, 0.9),
)


class Gauge:
    """Stands in for the measuring: gives one audit and counts how often it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.audit = AUDIT
        self.asked: list[dict[str, Any]] = []
        self.read: list[tuple[str, str]] = []
        monkeypatch.setattr(sync_record, "measure_lag", self._measure)
        monkeypatch.setattr(sync_record, "read_motion_trace", self._read)

    def _measure(self, **fields: Any) -> SyncAudit:
        self.asked.append(fields)
        return self.audit

    def _read(self, parts: PartStore, *, imu_key: str, frames_key: str) -> MotionTrace:
        self.read.append((imu_key, frames_key))
        fields: Any = dict.fromkeys(("gyro_t_ns", "gyro_rad_s", "motion_t_ns", "motion"))
        return MotionTrace(**fields)


@pytest.fixture
def gauge(monkeypatch: pytest.MonkeyPatch) -> Gauge:
    return Gauge(monkeypatch)


def find(root: Path, *, imu: str = "i", frames: str = "f", **audit: Any) -> SyncAudit:
    config = AuditConfig(**audit)
    return find_sync_audit(PartStore(root), imu_key=imu, frames_key=frames, config=config)


def test_measured_once_and_remembered_whole(tmp_path: Path, gauge: Gauge) -> None:
    for _ in range(3):
        assert find(tmp_path) == AUDIT
    assert len(gauge.asked) == 1
    assert gauge.read == [("i", "f")]


@pytest.mark.parametrize(
    "other", [{"imu": "j"}, {"frames": "g"}, {"max_lag_ms": 900}, {"window_s": 30}]
)
def test_what_decides_the_measurement_has_its_own_record(
    tmp_path: Path, gauge: Gauge, other: dict[str, Any]
) -> None:
    find(tmp_path)
    gauge.audit = replace(AUDIT, lag_ns=5_000_000)
    assert find(tmp_path, **other) == gauge.audit
    assert find(tmp_path) == AUDIT
    asked = gauge.asked[-1]
    assert asked["max_lag_ns"] == other.get("max_lag_ms", 1500) * 1_000_000
    assert asked["window_s"] == other.get("window_s", 20)


@pytest.mark.parametrize("same", [{"suspect_ms": 30}, {"correct": True}])
def test_what_is_made_of_it_measures_nothing_again(
    tmp_path: Path, gauge: Gauge, same: dict[str, Any]
) -> None:
    find(tmp_path)
    find(tmp_path, **same)
    assert len(gauge.asked) == 1


def test_newer_measurement_passes_over_old_records(
    tmp_path: Path, gauge: Gauge, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(tmp_path)
    monkeypatch.setattr(sync_record, "SYNC_RECORD_VERSION", 10**6)
    find(tmp_path)
    assert len(gauge.asked) == 2


@pytest.mark.parametrize(
    "damage", ["", "{}", "[]", '{"audit":{"lag_ns":1},"sha256":"0"}', '{"audit":3,"sha256":"0"}']
)
def test_damaged_record_is_measured_anew(tmp_path: Path, gauge: Gauge, damage: str) -> None:
    find(tmp_path)
    path = sync_record_path(PartStore(tmp_path), imu_key="i", frames_key="f", config=AuditConfig())
    whole = path.read_bytes()
    path.write_text(damage)
    assert find(tmp_path) == AUDIT
    assert len(gauge.asked) == 2
    assert path.read_bytes() == whole


def test_altered_number_does_not_match_the_digest(tmp_path: Path, gauge: Gauge) -> None:
    find(tmp_path)
    path = sync_record_path(PartStore(tmp_path), imu_key="i", frames_key="f", config=AuditConfig())
    path.write_bytes(path.read_bytes().replace(b"-61000000", b"-62000000"))
    assert find(tmp_path) == AUDIT
    assert len(gauge.asked) == 2


def test_parts_themselves_are_measured(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    parts = PartStore(config.parts_root)
    fake = write_fake_take(parts, config=config, narrations=(make_narration(1.0),))
    keys = fake.prepared
    assert keys.imu_key is not None
    assert keys.frames_key is not None
    audit = find_sync_audit(
        parts, imu_key=keys.imu_key, frames_key=keys.frames_key, config=config.audit
    )
    # Random numbers hold no lag, and five seconds of them are too few rows.
    assert (audit.lag_ns, audit.confidence, audit.seconds) == (None, 0.0, 5)
    assert len(audit.local_r2) == 1
