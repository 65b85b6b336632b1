from pathlib import Path

import pytest

from pipelines.align.sync_audit import SyncAudit
from pipelines.parts.store import PartStore
from pipelines.stores import take_lag
from pipelines.stores.take_lag import find_take_lag, take_lag_path


class Gauge:
    """Gives one audit and counts how often it was asked."""

    def __init__(self, lag_ns: int | None = -61_499_999, r2: float = 0.45649) -> None:
        self.audit = SyncAudit(lag_ns=lag_ns, r2=r2)
        self.asked = 0

    def __call__(self) -> SyncAudit:
        self.asked += 1
        return self.audit


def find(root: Path, gauge: Gauge, *, imu: str = "i", frames: str = "f") -> object:
    return find_take_lag(PartStore(root), imu_key=imu, frames_key=frames, measure=gauge)


def test_measured_once_and_kept_to_the_millisecond(tmp_path: Path) -> None:
    gauge = Gauge()
    for _ in range(3):
        assert find(tmp_path, gauge) == (-61_000_000, 0.456)
    assert gauge.asked == 1


@pytest.mark.parametrize("other", [{"imu": "j"}, {"frames": "g"}])
def test_other_parts_are_measured_on_their_own(tmp_path: Path, other: dict[str, str]) -> None:
    find(tmp_path, Gauge())
    gauge = Gauge(lag_ns=5_000_000)
    assert find(tmp_path, gauge, **other) == (5_000_000, 0.456)
    assert gauge.asked == 1


def test_newer_measurement_passes_over_old_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(tmp_path, Gauge())
    monkeypatch.setattr(take_lag, "TAKE_LAG_VERSION", 2)
    gauge = Gauge()
    find(tmp_path, gauge)
    assert gauge.asked == 1


def test_what_cannot_be_told_is_remembered_too(tmp_path: Path) -> None:
    gauge = Gauge(lag_ns=None, r2=float("nan"))
    for _ in range(2):
        assert find(tmp_path, gauge) == (None, None)
    assert gauge.asked == 1


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"lag_ns":1,"r2":null,"sha256":"0"}'])
def test_damaged_record_is_measured_anew(tmp_path: Path, damage: str) -> None:
    find(tmp_path, Gauge())
    path = take_lag_path(PartStore(tmp_path), imu_key="i", frames_key="f")
    whole = path.read_bytes()
    path.write_text(damage)
    gauge = Gauge()
    assert find(tmp_path, gauge) == (-61_000_000, 0.456)
    assert gauge.asked == 1
    assert path.read_bytes() == whole
