import errno
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.config import ImuConfig
from pipelines.datasets.base import ImuRecording
from pipelines.imu.sample_counts import COUNT_COLUMNS
from pipelines.parts.imu import write_imu_part
from pipelines.parts.keys import IMU_PART_VERSION
from pipelines.parts.store import PartStore
from schemas.errors import StorageError, TakeError
from schemas.imu import IMU_CHANNELS, IMU_PART_SCHEMA, ImuSamples, TriadSamples
from schemas.time import NS_PER_MS, NS_PER_S, Interval

KEY = "ab" * 32


def recording(
    *, seconds: float = 2.0, start_s: float = -0.5, gap_s: tuple[float, float] | None = None
) -> ImuRecording:
    """Samples of a closed form in runs of 0.1 s; the info is whole only after the last one."""
    info: dict[str, str | int | float] = {"samples": 0}

    def runs() -> Iterator[ImuSamples]:
        count = round((seconds - start_s) * 1000)
        t_ns = round(start_s * NS_PER_S) + np.arange(count) * NS_PER_MS
        if gap_s is not None:
            t_ns = t_ns[(t_ns <= gap_s[0] * NS_PER_S) | (t_ns >= gap_s[1] * NS_PER_S)]
        for start in range(0, len(t_ns), 100):
            t = t_ns[start : start + 100]
            t_s = t / NS_PER_S
            accel = np.stack([np.sin(6 * t_s), np.cos(9 * t_s), 9.81 + 0 * t_s], axis=1)
            gyro = np.stack([np.sin(20 * t_s), np.sin(300 * t_s), t_s], axis=1)
            info["samples"] = int(info["samples"]) + len(t)
            yield ImuSamples(
                accel=TriadSamples(t_ns=t, values=accel), gyro=TriadSamples(t_ns=t, values=gyro)
            )

    return ImuRecording(runs=runs(), frame="device", stream="imu-right", info=info)


def written(
    root: Path, source: ImuRecording, *, config: ImuConfig | None = None, end_s: float = 2.0
) -> pa.Table:
    parts = PartStore(root)
    span = Interval(0, round(end_s * NS_PER_S))
    write_imu_part(parts, KEY, recording=source, span=span, config=config or ImuConfig())
    assert parts.has("imu", KEY)
    return parts.read_table("imu", KEY)


def test_part_holds_the_whole_grid_of_the_take(tmp_path: Path) -> None:
    table = written(tmp_path, recording(gap_s=(0.7, 0.9)), end_s=2.5)
    assert table.schema.remove_metadata() == IMU_PART_SCHEMA
    t_ns = table["t_ns"].to_numpy()
    assert t_ns.tolist() == list(range(0, 2_500_000_000, 20_000_000))
    t_s = t_ns / NS_PER_S
    valid = table["valid"].to_numpy()
    assert valid.tolist() == ((t_s < 2.0) & ((t_s <= 0.7) | (t_s >= 0.9))).tolist()
    inner = (t_s > 1.1) & (t_s < 1.8)
    np.testing.assert_allclose(
        table["accel_x"].to_numpy()[inner], np.sin(6 * t_s[inner]), atol=2e-3
    )
    np.testing.assert_allclose(table["accel_z"].to_numpy()[valid], 9.81, atol=1e-5)
    assert np.abs(table["gyro_y"].to_numpy()[inner]).max() < 1e-2
    for channel in IMU_CHANNELS:
        assert (table[channel].to_numpy()[~valid] == 0).all()
    gap = table["gap_ns"].to_numpy()
    assert gap[36] == gap[44] == 200 * NS_PER_MS
    assert gap[0] == 0


def test_metadata_says_frame_stream_rate_and_the_full_counts(tmp_path: Path) -> None:
    metadata = written(
        tmp_path, recording(), config=ImuConfig(rate_hz="25", cutoff_hz=10)
    ).schema.metadata
    assert metadata[b"imu_frame"] == b"device"
    assert metadata[b"imu_stream"] == b"imu-right"
    assert metadata[b"rate_hz"] == b"25"
    assert json.loads(metadata[b"imu_info"]) == {"samples": 2500}


def test_every_setting_changes_the_output(tmp_path: Path) -> None:
    def bits(config: ImuConfig) -> list[bytes]:
        source = recording(gap_s=(0.7, 0.85))
        table = written(tmp_path / "p", source, config=config)
        return [table[name].to_numpy().tobytes() for name in table.column_names]

    plain = bits(ImuConfig())
    assert bits(ImuConfig()) == plain
    for changed in (ImuConfig(rate_hz="100"), ImuConfig(cutoff_hz=15), ImuConfig(max_gap_ms=200)):
        assert bits(changed) != plain


def test_blocks_become_batches_of_equal_values(tmp_path: Path) -> None:
    parts = PartStore(tmp_path)
    span = Interval(0, 4 * NS_PER_S)
    for key, block_s in ((KEY, 1), ("cd" * 32, 60)):
        write_imu_part(
            parts,
            key,
            recording=recording(seconds=4),
            span=span,
            config=ImuConfig(block_s=block_s),
        )
    assert [b.num_rows for b in parts.read("imu", KEY)] == [50, 50, 50, 50]
    assert [b.num_rows for b in parts.read("imu", "cd" * 32)] == [200]
    one, other = (parts.read_table("imu", k).combine_chunks() for k in (KEY, "cd" * 32))
    assert one.replace_schema_metadata().equals(other.replace_schema_metadata())


def test_take_without_one_valid_point_is_refused_and_leaves_no_part(tmp_path: Path) -> None:
    with pytest.raises(TakeError, match="imu-right must have samples within the take, got none"):
        written(tmp_path, recording(seconds=0.0, start_s=-3.0))
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("at", ["write", "seek"])
def test_a_full_disk_under_the_spill_is_no_fault_of_the_take_or_the_parts(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def __init__(self, max_size: int) -> None:
            super().__init__()

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    setattr(Full, at, full)
    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", Full)
    said = rf"^{tempfile.gettempdir()} must have room: .*\(TMPDIR\), then run again$"
    with pytest.raises(StorageError, match=said):
        written(tmp_path, recording())
    assert not PartStore(tmp_path).has("imu", KEY)


def test_fault_in_the_runs_leaves_no_part(tmp_path: Path) -> None:
    def broken() -> Iterator[ImuSamples]:
        yield from recording(seconds=1).runs
        raise TakeError("imu_not_monotonic", "stamps must not go back")

    source = ImuRecording(runs=broken(), frame="device", stream="imu-right")
    with pytest.raises(TakeError, match="imu_not_monotonic"):
        written(tmp_path, source)
    assert not PartStore(tmp_path).has("imu", KEY)


def test_golden_output_guards_the_part_version(tmp_path: Path) -> None:
    """If this fails and the change is meant, raise IMU_PART_VERSION and write the new values."""
    assert IMU_PART_VERSION == 2
    table = written(tmp_path, recording(gap_s=(0.7, 0.85)))
    rows = [0, 1, 34, 35, 36, 42, 43, 99]
    got = np.stack([table[c].to_numpy()[rows] for c in IMU_CHANNELS], axis=1)
    np.testing.assert_allclose(got, GOLDEN, atol=2e-6)
    assert [table["gap_ns"][i].as_py() for i in rows] == [0, 0, 0, 0, 150000000, 150000000, 0, 0]
    counts = np.stack([table[name].to_numpy()[rows] for name in COUNT_COLUMNS], axis=1)
    assert counts.tolist() == GOLDEN_COUNTS


# Rows 0, 1, 34, 35 (at the gap's start), 36 and 42 (in it), 43 and 99.
GOLDEN = [
    [0.000000, 0.999362, 9.810000, 0.000000, 0.000000, 0.000000],
    [0.119673, 0.983216, 9.810000, 0.389005, -0.000071, 0.020000],
    [-0.812434, 0.987163, 9.810000, 0.869249, 0.013121, 0.681877],
    [-0.856604, 0.999999, 9.810000, 0.976090, 0.258230, 0.694986],
    [0.000000, 0.000000, 0.000000, 0.000000, 0.000000, 0.000000],
    [0.000000, 0.000000, 0.000000, 0.000000, 0.000000, 0.000000],
    [-0.898991, 0.106511, 9.810000, -0.994624, -0.097471, 0.860814],
    [-0.625086, 0.527398, 9.810000, 0.925496, 0.024002, 1.981722],
]
# Twenty samples of 1 ms a step; the last one before the gap opens row 35, and the interval across
# the gap counts nowhere. In row 42 ten samples follow the gap with nine intervals between them.
GOLDEN_COUNTS = [
    [20, 0, 0, 20, 20_000_000, 20_000_000],
    [20, 0, 0, 20, 20_000_000, 20_000_000],
    [20, 0, 0, 20, 20_000_000, 20_000_000],
    [1, 0, 0, 1, 1_000_000, 1_000_000],
    [0, 0, 0, 0, 0, 0],
    [10, 0, 0, 9, 9_000_000, 9_000_000],
    [20, 0, 0, 20, 20_000_000, 20_000_000],
    [20, 0, 0, 20, 20_000_000, 20_000_000],
]
