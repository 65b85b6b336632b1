import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.synthetic import ego4d_imu
from pipelines.synthetic.ego4d_imu import IMU_HEADER, write_ego4d_csv
from pipelines.synthetic.ego4d_truth import Ego4DTakeTruth, ego4d_imu_truth, plan_ego4d
from pipelines.synthetic.truth import imu_sample_ns

MS = 1_000_000
S = 1_000_000_000


def planned(fault: str | None = None) -> Ego4DTakeTruth:
    """The second of two takes: it has two components."""
    faults = [] if fault is None else [fault]
    return plan_ego4d(takes=2, seconds=10, seed=4, faults=faults).takes[1]


def write(take: Ego4DTakeTruth, folder: Path) -> list[dict[str, str]]:
    write_ego4d_csv(folder / "v.csv", take=take)
    with (folder / "v.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def stamps(take: Ego4DTakeTruth) -> npt.NDArray[np.int64]:
    return np.concatenate([imu_sample_ns(part.imu) for part in take.components])


def cells(rows: list[dict[str, str]], name: str) -> npt.NDArray[np.float64]:
    return np.array([[float(row[f"{name}_{axis}"]) for axis in "xyz"] for row in rows])


def test_rows_follow_the_real_layout(tmp_path: Path) -> None:
    take = planned()
    rows = write(take, tmp_path)
    assert tuple(rows[0]) == IMU_HEADER
    assert IMU_HEADER[3:] == ("gyro_x", "gyro_y", "gyro_z", "accl_x", "accl_y", "accl_z")
    true_ns = stamps(take)
    assert len(rows) == len(true_ns)
    inside = (true_ns >= 0) & (true_ns < take.duration_ns)
    assert [bool(row["canonical_timestamp_ms"]) for row in rows] == inside.tolist()
    assert 500 < (~inside).sum() < 700  # 1.5 s on both sides
    for row, t_ns in zip(rows, true_ns.tolist(), strict=True):
        start_ns = take.components[int(row["component_idx"])].start_ns
        assert float(row["component_timestamp_ms"]) == pytest.approx(
            (t_ns - start_ns) / MS, abs=1e-4
        )
        if row["canonical_timestamp_ms"]:
            assert float(row["canonical_timestamp_ms"]) == pytest.approx(t_ns / MS, abs=1e-4)
    assert {row["component_idx"] for row in rows} == {"0", "1"}


def test_values_are_the_true_motion_noisy_and_quantised(tmp_path: Path) -> None:
    take = planned()
    rows = write(take, tmp_path)
    true = ego4d_imu_truth(take, stamps(take))
    for name, columns, steps, noise in (
        ("accl", slice(0, 3), 417, 0.06),
        ("gyro", slice(3, 6), 939, 0.006),
    ):
        values = cells(rows, name)
        np.testing.assert_allclose(values * steps, np.rint(values * steps), atol=1e-6)
        error = values - true[:, columns]
        spread = noise * take.participant.noise
        assert error.std() == pytest.approx(spread, rel=0.05)
        assert np.abs(error.mean(axis=0)).max() < 5 * spread / np.sqrt(len(rows))


def test_bytes_do_not_depend_on_how_often_it_is_written(tmp_path: Path) -> None:
    write(planned(), tmp_path)
    first = (tmp_path / "v.csv").read_bytes()
    write(planned(), tmp_path)
    assert (tmp_path / "v.csv").read_bytes() == first


def test_a_late_imu_has_late_stamps_and_the_same_values(tmp_path: Path) -> None:
    late = write(planned("imu_late"), tmp_path)
    rows = write(planned(), tmp_path)
    at = next(i for i, row in enumerate(rows) if row["canonical_timestamp_ms"])
    here = rows[at]
    assert cells([late[at]], "accl").tolist() == cells([here], "accl").tolist()
    assert float(late[at]["canonical_timestamp_ms"]) == pytest.approx(
        float(here["canonical_timestamp_ms"]) + 800
    )
    first_ms = next(
        float(row["canonical_timestamp_ms"]) for row in late if row["canonical_timestamp_ms"]
    )
    assert 0 <= first_ms < 5


def test_gap_and_short_leave_rows_out(tmp_path: Path) -> None:
    for fault, low, high in (("imu_gap", 5 * S, 5 * S + 400 * MS), ("imu_short", 4 * S, 99 * S)):
        take = planned(fault)
        true_ns = stamps(take)
        expected = true_ns[(true_ns < low) | (true_ns >= high)]
        assert len(write(take, tmp_path)) == len(expected) < len(true_ns)


def test_disorder_moves_rows_and_adds_absurd_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = write(planned(), tmp_path)
    rows = write(planned("imu_backward"), tmp_path)
    kept = [row for row in rows if row["canonical_timestamp_ms"] not in ego4d_imu._ABSURD_MS]
    assert len(rows) == len(kept) + 2 == len(clean) + 2
    assert kept != clean
    assert sorted(map(str, kept)) == sorted(map(str, clean))
    given = [float(r["canonical_timestamp_ms"]) for r in kept if r["canonical_timestamp_ms"]]
    assert np.diff(given).min() == pytest.approx(-200 / 201 * 1000, rel=0.02)


def test_bad_cells_are_single_rows_of_either_sensor(tmp_path: Path) -> None:
    rows = write(planned("imu_nan"), tmp_path)
    bad = [i for i, row in enumerate(rows) if "" in list(row.values())[3:] or "NaN" in row.values()]
    assert len(bad) >= 20
    # A block's last bad row and the next one's first may be closer than two of one block.
    assert np.diff(bad).min() > 40
    assert any(rows[i]["gyro_x"] == "" for i in bad)
    assert any(rows[i]["accl_x"] == "" for i in bad)
    assert any(rows[i]["accl_y"] == "NaN" for i in bad)
