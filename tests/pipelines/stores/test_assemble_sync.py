"""What the sync audit does to a take's rows, by itself and where the take is corrected."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.align.sync_audit import SyncAudit
from pipelines.parts.store import PartStore
from pipelines.stores import sync_record
from tests.factories import (
    FakeTake,
    FilledTake,
    fill_take,
    make_config,
    make_narration,
    write_fake_take,
)

MS = 1_000_000
NARRATIONS = tuple(make_narration(s, f"says {s}") for s in (0.6, 1.7, 2.5, 4.4))


@pytest.fixture
def parts(tmp_path: Path) -> PartStore:
    return PartStore(make_config(tmp_path).parts_root)


@pytest.fixture
def fake(parts: PartStore) -> FakeTake:
    return write_fake_take(parts, config=make_config(parts.root.parent), narrations=NARRATIONS)


def assemble(fake: FakeTake, parts: PartStore, **overrides: object) -> FilledTake:
    config = make_config(parts.root.parent, **overrides)
    return fill_take(fake.prepared, parts=parts, config=config)


@pytest.fixture
def lag_ns(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The lag that the audit finds, in a list of one that a test may change."""
    found: list[int | None] = [None]

    def measure(**fields: object) -> SyncAudit:
        del fields
        return SyncAudit(
            lag_ns=found[0],
            r2=0.5,
            confidence=0.4,
            drift_ns=3 * MS,
            origin_ns=0,
            seconds=5,
            window_s=4,
            local_lag_ms=(11, None),
            local_r2=(0.5, 0.25),
            local_confidence=(0.75, 0.0),
        )

    monkeypatch.setattr(sync_record, "measure_lag", measure)
    return found


def test_segments_tell_the_lag_around_their_middle(
    fake: FakeTake, parts: PartStore, lag_ns: list[int | None]
) -> None:
    lag_ns[0] = 40 * MS
    table = assemble(fake, parts).table
    # Windows have their middles at 2 and 3 s; segments at 0.6, 1.7, 2.5 and 4.4 s.
    assert table["segment_lag_ns"].to_pylist() == [11 * MS, 11 * MS, 11 * MS, None]
    assert table["segment_lag_r2"].to_pylist() == [0.5, 0.5, 0.5, 0.25]
    assert table["segment_lag_confidence"].to_pylist() == [0.75, 0.75, 0.75, 0.0]
    assert table["take_lag_drift_ns"].to_pylist() == [3 * MS] * 4
    assert table["sync_suspect"].to_pylist() == [False] * 4


@pytest.mark.parametrize(("lag_ms", "moved"), [(300, 3), (-300, -3), (340, 3), (-260, -3), (40, 0)])
def test_correction_cuts_windows_where_the_event_really_is(
    fake: FakeTake, parts: PartStore, lag_ns: list[int | None], lag_ms: int, moved: int
) -> None:
    lag_ns[0] = lag_ms * MS
    plain = assemble(fake, parts, segments={"require": ["text"]})
    rows = assemble(fake, parts, segments={"require": ["text"]}, audit={"correct": True})
    gyro = np.stack([fake.imu[name].to_numpy() for name in fake.imu.column_names[1:7]])
    assert len(rows) == 4
    for i, start_ns in enumerate(rows.table["start_ns"].to_pylist()):
        # A late gyro shows an event at t only at t + lag.
        first = start_ns // (100 * MS) + moved
        inside = first >= 0 and first + 10 <= gyro.shape[1]
        assert rows.valid[i, 0] == inside
        if inside:
            np.testing.assert_array_equal(rows.imu[i], gyro[:, first : first + 10])
        wanted = moved * 100 * MS if inside else None
        assert rows.table["imu_correction_ns"][i].as_py() == wanted
    assert plain.table["imu_correction_ns"].to_pylist() == [0] * 4
    assert rows.table["take_lag_ns"].to_pylist() == [lag_ms * MS] * 4
    for name in ("segment_id", "start_ns", "end_ns", "sync_suspect"):
        assert rows.table[name].equals(plain.table[name])
    np.testing.assert_array_equal(rows.video, plain.video)


def test_window_moved_beyond_the_recording_is_missing(
    fake: FakeTake, parts: PartStore, lag_ns: list[int | None]
) -> None:
    lag_ns[0] = 300 * MS
    assert assemble(fake, parts).drops == {}
    rows = assemble(fake, parts, audit={"correct": True})
    # The segment of 3.9 to 4.9 s would need IMU until 5.2 s.
    assert rows.drops == {"imu_missing": 1}
    assert len(rows) == 3


def test_lag_that_cannot_be_told_corrects_nothing(
    fake: FakeTake, parts: PartStore, lag_ns: list[int | None]
) -> None:
    assert lag_ns == [None]
    rows = assemble(fake, parts, audit={"correct": True})
    plain = assemble(fake, parts)
    np.testing.assert_array_equal(rows.imu, plain.imu)
    assert rows.table.equals(plain.table)
    assert rows.table["imu_correction_ns"].to_pylist() == [0] * 4
    assert rows.table["sync_suspect"].null_count == 4


def test_without_an_audit_nothing_is_measured(
    fake: FakeTake, parts: PartStore, lag_ns: list[int | None]
) -> None:
    lag_ns[0] = 300 * MS
    table = assemble(fake, parts, audit={"enabled": False}).table
    for name in (
        "take_lag_ns",
        "take_lag_r2",
        "take_lag_confidence",
        "take_lag_drift_ns",
        "segment_lag_ns",
        "segment_lag_r2",
        "segment_lag_confidence",
        "sync_suspect",
        "imu_correction_ns",
    ):
        assert table[name].null_count == 4, name
    assert not (parts.root / "lag").exists()
