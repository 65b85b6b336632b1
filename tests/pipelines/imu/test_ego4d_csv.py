import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.datasets.base import ImuRecording
from pipelines.imu import ego4d_csv
from pipelines.imu.ego4d_csv import MAX_STEP_BACK_NS, open_ego4d_imu, read_ego4d_span
from schemas.errors import TakeError

MS = 1_000_000
S = 1_000_000_000
HEADER = (
    "component_idx,component_timestamp_ms,canonical_timestamp_ms,"
    "gyro_x,gyro_y,gyro_z,accl_x,accl_y,accl_z"
)
Row = Sequence[float | str]


def write(path: Path, rows: Sequence[Row], *, header: str = HEADER) -> Path:
    lines = [header, *(",".join(str(cell) for cell in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def row(t_ms: float | str, *, number: int = 0, component: int = 0) -> list[float | str]:
    """Gyro n + .1, .2, .3, accelerometer n + .4, .5, .6: no two cells alike."""
    return [component, 0.0, t_ms, *(round(number + k / 10, 1) for k in range(1, 7))]


def read(recording: ImuRecording) -> tuple[npt.NDArray[np.int64], ...]:
    """Return accel stamps and values, gyro stamps and values, and invalid stamps, all runs."""
    runs = list(recording.runs)
    return (
        np.concatenate([run.accel.t_ns for run in runs]),
        np.concatenate([run.accel.values for run in runs]),
        np.concatenate([run.gyro.t_ns for run in runs]),
        np.concatenate([run.gyro.values for run in runs]),
        np.concatenate([run.invalid_ns for run in runs]),
    )


def naive(path: Path, *, duration_ns: int) -> tuple[list[tuple[int, list[float]]], ...]:
    """Read, sort and sift the file whole, one row at a time: (stamp, values) of each sensor."""
    rows: dict[int, dict[str, str]] = {}
    with path.open(newline="") as file:
        for cells in csv.DictReader(file):
            stamp = cells["canonical_timestamp_ms"]
            if not stamp or not -10_000 <= float(stamp) <= duration_ns / MS + 10_000:
                continue
            rows.setdefault(round(float(stamp) * MS), cells)
    sensors = []
    for name in ("accl", "gyro"):
        found = []
        for t_ns in sorted(rows):
            texts = [rows[t_ns][f"{name}_{axis}"] for axis in "xyz"]
            values = [float(text) if text else float("nan") for text in texts]
            if np.isfinite(values).all():
                found.append((t_ns, values))
        sensors.append(found)
    return tuple(sensors)


def test_columns_stamps_and_counts(tmp_path: Path) -> None:
    rows = [
        row("", number=0),
        row(-2.5, number=1),
        row(2.475, number=2),
        [0, 0.0, 7.45, 3.1, "", 3.3, 3.4, 3.5, 3.6],
        [0, 0.0, 12.425, 4.1, 4.2, 4.3, 4.4, "NaN", 4.6],
        [0, 0.0, 17.4, "", "", "", "", "", ""],
        row(22.375, number=6, component=1),
        row("", number=7, component=1),
    ]
    recording = open_ego4d_imu(write(tmp_path / "v.csv", rows), duration_ns=S)
    assert (recording.frame, recording.stream) == ("sensor", "csv")
    accel_ns, accel, gyro_ns, gyro, invalid_ns = read(recording)
    assert accel_ns.tolist() == [-2_500_000, 2_475_000, 7_450_000, 22_375_000]
    assert accel.tolist() == [[1.4, 1.5, 1.6], [2.4, 2.5, 2.6], [3.4, 3.5, 3.6], [6.4, 6.5, 6.6]]
    assert gyro_ns.tolist() == [-2_500_000, 2_475_000, 12_425_000, 22_375_000]
    assert gyro[:, 0].tolist() == [1.1, 2.1, 4.1, 6.1]
    assert invalid_ns.tolist() == [7_450_000, 12_425_000, 17_400_000, 17_400_000]
    assert recording.info == {
        "rows": 8,
        "rows_outside_video": 2,
        "rows_absurd": 0,
        "rows_backward": 0,
        "rows_repeated": 0,
        "accel_invalid": 2,
        "gyro_invalid": 2,
        "accel_y_equals_z": 0,
    }


def test_no_sample_is_said_to_be_saturated(tmp_path: Path) -> None:
    rows = [[0, 0, t, 34.9, -34.9, 34.9, 78.58, 78.57, -78.58] for t in range(10)]
    (run,) = (
        r
        for r in open_ego4d_imu(write(tmp_path / "v.csv", rows), duration_ns=S).runs
        if len(r.accel)
    )
    assert run.saturated_ns.tolist() == []


def test_disorder_repeats_and_absurd_stamps_against_a_slow_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocks of a few rows, so that every rule has to hold across their bounds.
    monkeypatch.setattr(ego4d_csv, "_BLOCK_BYTES", 256)
    monkeypatch.setattr(ego4d_csv, "MAX_STEP_BACK_NS", 60 * MS)
    rng = np.random.default_rng(5)
    stamps = np.round(np.arange(400) * 4.975 + rng.uniform(-20, 20, 400), 3)
    rows = [row(t, number=i) for i, t in enumerate(stamps.tolist())]
    for i in range(0, 400, 41):
        rows.insert(i, row(rows[i][2], number=1000 + i))
    for i, cell in ((30, ""), (90, "nan"), (200, "inf")):
        rows[i][4 + i % 4] = cell
    for i, stamp in ((50, 1e18), (120, -1e12), (300, "inf"), (310, 12_001.0), (311, "nan")):
        rows.insert(i, row(stamp))
    path = write(tmp_path / "v.csv", rows)
    recording = open_ego4d_imu(path, duration_ns=2 * S)
    accel_ns, accel, gyro_ns, gyro, invalid_ns = read(recording)
    expected_accel, expected_gyro = naive(path, duration_ns=2 * S)
    assert list(zip(accel_ns.tolist(), accel.tolist(), strict=True)) == expected_accel
    assert list(zip(gyro_ns.tolist(), gyro.tolist(), strict=True)) == expected_gyro
    # "nan" is no stamp; the others are absurd ones.
    assert (recording.info["rows_absurd"], recording.info["rows_outside_video"]) == (4, 1)
    repeats = 400 + len(range(0, 400, 41)) - len(set(stamps.tolist()))
    assert recording.info["rows_repeated"] == repeats >= 10
    kept = [r[2] for r in rows if isinstance(r[2], float) and -1e4 <= r[2] <= 12_000]
    latest, backward = float("-inf"), 0
    for t in kept:
        backward += t < latest
        latest = max(latest, t)
    assert recording.info["rows_backward"] == backward > 50
    missing = recording.info["accel_invalid"], recording.info["gyro_invalid"]
    assert len(invalid_ns) == sum(int(n) for n in missing) == 3
    assert (np.diff(invalid_ns) >= 0).all()


def test_a_value_beyond_any_sensor_is_no_sample(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    # As float32 it would be infinite, and published as a valid window.
    write(path, [row(0), [*row(5)[:3], "1e300", *row(5)[4:]], row(10)])
    recording = open_ego4d_imu(path, duration_ns=1_000 * MS)
    accel_ns, _, gyro_ns, _, invalid_ns = read(recording)
    assert accel_ns.tolist() == [0, 5 * MS, 10 * MS]
    assert gyro_ns.tolist() == [0, 10 * MS]
    assert invalid_ns.tolist() == [5 * MS]
    assert recording.info["gyro_invalid"] == 1


def test_of_equal_stamps_the_first_is_kept(tmp_path: Path) -> None:
    rows = [row(5.0, number=1), row(0.0, number=2), row(5.0, number=3), row(5.0, number=4)]
    _, accel, _, _, _ = read(open_ego4d_imu(write(tmp_path / "v.csv", rows), duration_ns=S))
    assert accel[:, 0].tolist() == [2.4, 1.4]


@pytest.mark.parametrize("beyond_ms", [0, 1])
def test_steps_back_up_to_the_buffer_are_sorted_and_no_further(
    tmp_path: Path, beyond_ms: int
) -> None:
    limit_ms = MAX_STEP_BACK_NS // MS
    rows = [row(0.0), row(float(limit_ms + 500), number=1), row(500.0 - beyond_ms, number=2)]
    path = write(tmp_path / "v.csv", rows)
    if not beyond_ms:
        accel_ns, *_ = read(open_ego4d_imu(path, duration_ns=1000 * S))
        assert accel_ns.tolist() == [0, 500 * MS, (limit_ms + 500) * MS]
        return
    with pytest.raises(TakeError, match=r"may step back by 300 s at most, got 300\.0 s") as caught:
        open_ego4d_imu(path, duration_ns=1000 * S)
    assert caught.value.code == "imu_not_monotonic"


@pytest.mark.parametrize(
    ("t_ms", "kept"), [(-10_000.0, True), (-10_000.1, False), (11_000.0, True), (11_000.1, False)]
)
def test_absurd_begins_ten_seconds_outside_the_video(
    tmp_path: Path, t_ms: float, kept: bool
) -> None:
    rows = [row(t_ms, number=1), row(500.0, number=2)]
    recording = open_ego4d_imu(write(tmp_path / "v.csv", rows), duration_ns=S)
    assert recording.info["rows_absurd"] == (not kept)
    assert len(read(recording)[0]) == 1 + kept


def test_equal_y_and_z_columns_are_recorded(tmp_path: Path) -> None:
    rows = [[0, 0.0, float(t), 0.1, 0.2, 0.3, 1.0, t / 7, t / 7] for t in range(20)]
    path = write(tmp_path / "v.csv", rows)
    assert open_ego4d_imu(path, duration_ns=S).info["accel_y_equals_z"] == 1
    rows[7][8] = 99.0
    assert open_ego4d_imu(write(path, rows), duration_ns=S).info["accel_y_equals_z"] == 0


def test_a_component_without_accelerometer_is_no_fault(tmp_path: Path) -> None:
    rows = [row(float(t), number=t) for t in range(10)]
    rows += [[1, 0.0, 10.0 + t, 0.1, 0.2, 0.3, "", "", ""] for t in range(10)]
    path = write(tmp_path / "v.csv", rows)
    accel_ns, _, gyro_ns, _, _ = read(open_ego4d_imu(path, duration_ns=S))
    assert (len(accel_ns), len(gyro_ns)) == (10, 20)
    span = read_ego4d_span(path, duration_ns=S)
    assert (span.start_ns, span.end_ns) == (0, 9 * MS + 1)


@pytest.mark.parametrize(
    ("rows", "code", "said"),
    [
        ([[0, 0, t, 0.1, 0.2, 0.3, "", "", ""] for t in range(5)], "accel_missing", "acceler"),
        ([[0, 0, t, "", "", "", 0.1, 0.2, 0.3] for t in range(5)], "gyro_missing", "gyroscope"),
        ([[0, 0, t, 0.1, 0.2, 0.3, 0.1, "", 0.3] for t in range(5)], "accel_missing", "acceler"),
        ([row("")] * 3, "imu_missing", "rows within the video, got none of 3"),
        ([row(1e15)], "imu_missing", "rows within the video, got none of 1"),
        ([], "imu_missing", "rows within the video, got none of 0"),
        ([[0, 0, "noon", 1, 2, 3, 4, 5, 6]], "imu_unreadable", "readable CSV"),
        ([[0, 0, 1.0, 1, 2, 3, 4, 5]], "imu_unreadable", "Expected 9 columns, got 8"),
    ],
)
def test_unusable_rows_are_a_fault_of_the_take(
    tmp_path: Path, rows: list[Row], code: str, said: str
) -> None:
    path = write(tmp_path / "v.csv", rows)
    with pytest.raises(TakeError, match=said) as caught:
        open_ego4d_imu(path, duration_ns=S)
    assert caught.value.code == code
    with pytest.raises(TakeError, match=said):
        read_ego4d_span(path, duration_ns=S)


@pytest.mark.parametrize(
    ("header", "code", "said"),
    [
        (HEADER.replace(",accl_x,accl_y,accl_z", ""), "accel_missing", "accl_x, accl_y, accl_z"),
        (HEADER.replace("gyro_y,", ""), "gyro_missing", "columns gyro_y "),
        (HEADER.replace("canonical_", ""), "imu_unreadable", "column canonical_timestamp_ms"),
        ("", "imu_unreadable", "column canonical_timestamp_ms, got"),
    ],
)
def test_a_header_without_a_column_is_a_fault(
    tmp_path: Path, header: str, code: str, said: str
) -> None:
    with pytest.raises(TakeError, match=said) as caught:
        open_ego4d_imu(write(tmp_path / "v.csv", [], header=header), duration_ns=S)
    assert caught.value.code == code


def test_a_file_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(TakeError, match="readable CSV") as caught:
        open_ego4d_imu(path, duration_ns=S)
    assert caught.value.code == "imu_unreadable"


def test_sensors_that_never_run_together_have_no_span(tmp_path: Path) -> None:
    rows: list[Row] = [[0, 0, t, 0.1, 0.2, 0.3, "", "", ""] for t in range(5)]
    rows += [[1, 0, 10 + t, "", "", "", 0.1, 0.2, 0.3] for t in range(5)]
    path = write(tmp_path / "v.csv", rows)
    with pytest.raises(TakeError, match="run at one time") as caught:
        read_ego4d_span(path, duration_ns=S)
    assert caught.value.code == "imu_missing"


def test_runs_stay_short_however_long_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a run holds is bounded by block and buffer, not by the file.
    monkeypatch.setattr(ego4d_csv, "_BLOCK_BYTES", 4096)
    monkeypatch.setattr(ego4d_csv, "MAX_STEP_BACK_NS", S)
    longest = []
    for rows in (2_000, 8_000):
        lines = (f"0,0,{t * 5.0},.1,.2,.3,.4,.5,.6" for t in range(rows))
        path = tmp_path / "v.csv"
        path.write_text("\n".join([HEADER, *lines]) + "\n")
        sizes = [len(run.accel) for run in open_ego4d_imu(path, duration_ns=90 * S).runs]
        assert sum(sizes) == rows
        longest.append(max(sizes))
    assert longest[0] == longest[1] <= 200 + 4096 // 30
