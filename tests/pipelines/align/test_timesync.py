"""The clock of hand-made timesync files, against a loop over the csv module's cells."""

import csv
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.align.clock import TakeClock
from pipelines.align.timesync import read_timesync_clock
from pipelines.video.probe import VideoProbe
from schemas.errors import TakeError
from schemas.time import Interval

COLUMN = "aria02_214-1_capture_timestamp_ns"
START, END = 7, 67


def probe(frames: int, rate: Fraction = Fraction(30)) -> VideoProbe:
    return VideoProbe(
        num_frames_from_header=frames,
        rate=rate,
        first_pts_ns=0,
        duration_ns=round(frames * 1_000_000_000 / rate),
        width=448,
        height=448,
        codec="h264",
    )


def write_timesync(
    path: Path,
    *,
    rows: int = 80,
    empty: tuple[int, ...] = (),
    step_ns: float = 33_336_000.0,
    as_float: bool = True,
    jitter: int = 300_000,
) -> list[int]:
    rng = np.random.default_rng(1)
    stamps = [
        int(500_000_000_000 + i * step_ns + rng.integers(-jitter, jitter + 1)) for i in range(rows)
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["aria01_214-1_capture_timestamp_ns", "cam01_pts", COLUMN, "note"])
        for i, stamp in enumerate(stamps):
            cell = "" if i in empty else f"{stamp}.0" if as_float else str(stamp)
            writer.writerow([stamp + 999, "" if i < 5 else i, cell, "x"])
    return stamps


def read(path: Path, *, frames: int, k0: int = 0, rate: Fraction = Fraction(30)) -> TakeClock:
    return read_timesync_clock(
        path, cam_id="aria02", start_idx=START, end_idx=END, video=probe(frames, rate), k0=k0
    )


def test_video_of_a_varying_rate_has_no_rows(tmp_path: Path) -> None:
    write_timesync(tmp_path / "t.csv")
    uneven = replace(probe(60), rate_varies=True)
    with pytest.raises(
        TakeError, match=r"video_rate_varies: .* constant frame rate .*rows 7 to 67"
    ):
        read_timesync_clock(
            tmp_path / "t.csv",
            cam_id="aria02",
            start_idx=START,
            end_idx=END,
            video=uneven,
            k0=0,
        )


@pytest.mark.parametrize(
    ("frames", "k0", "first_row", "uncertainty_ns"),
    [
        pytest.param(59, 0, START, 0, id="one_less_is_certain"),
        pytest.param(59, 1, START, 0, id="one_less_ignores_k0"),
        pytest.param(60, 0, START, 33_333_333, id="equal_assumes_0"),
        pytest.param(60, 1, START + 1, 33_333_333, id="equal_assumes_1"),
    ],
)
def test_frames_stand_on_their_rows(
    tmp_path: Path, frames: int, k0: int, first_row: int, uncertainty_ns: int
) -> None:
    stamps = write_timesync(tmp_path / "t.csv")
    clock = read(tmp_path / "t.csv", frames=frames, k0=k0)
    for i in range(frames):
        at = clock.to_device_ns(np.array([round(i * 1e9 / 30)]))
        assert at.tolist() == [stamps[first_row + i]]
    assert clock.uncertainty_ns == uncertainty_ns
    assert clock.span == Interval(0, round(frames * 1e9 / 30))


@pytest.mark.parametrize("frames", [0, 1, 57, 58, 61, 62, 120])
def test_other_frame_counts_are_refused(tmp_path: Path, frames: int) -> None:
    write_timesync(tmp_path / "t.csv")
    with pytest.raises(TakeError, match=f"must hold 59 or 60 frames .*, got {frames} ") as caught:
        read(tmp_path / "t.csv", frames=frames)
    assert caught.value.code == "frame_count_mismatch"


def test_empty_cells_lie_on_the_line_between_their_neighbours(tmp_path: Path) -> None:
    empty = (2, START + 10, START + 20, START + 21, START + 22)
    stamps = write_timesync(tmp_path / "t.csv", empty=empty)
    clock = read(tmp_path / "t.csv", frames=59)
    frame_ns = [round(i * 1e9 / 30) for i in range(59)]
    expected = []
    for i in range(59):
        row = START + i
        before = max(r for r in range(row + 1) if r not in empty)
        after = min(r for r in range(row, 80) if r not in empty)
        share = (row - before) / max(after - before, 1)
        expected.append(stamps[before] + share * (stamps[after] - stamps[before]))
    np.testing.assert_allclose(clock.to_device_ns(np.array(frame_ns)), expected, rtol=0, atol=3)


def test_empty_cells_at_the_takes_edges_go_on_at_the_mean_rate(tmp_path: Path) -> None:
    stamps = write_timesync(
        tmp_path / "t.csv", empty=(START, START + 1, START + 58), jitter=0, step_ns=33_336_000
    )
    clock = read(tmp_path / "t.csv", frames=59)
    edges = clock.to_device_ns(np.array([0, round(58e9 / 30)]))
    assert edges[0] == pytest.approx(stamps[START], abs=3)
    assert edges[1] == pytest.approx(stamps[START + 58], abs=3)


@pytest.mark.parametrize("at", [START, START + 30, START + 55])
def test_more_than_three_empty_cells_on_end_are_refused(tmp_path: Path, at: int) -> None:
    write_timesync(tmp_path / "t.csv", empty=tuple(range(at, at + 4)))
    with pytest.raises(TakeError, match="more than 3 rows on end, got 4") as caught:
        read(tmp_path / "t.csv", frames=59)
    assert caught.value.code == "timesync_gap"


def test_empty_cells_outside_the_take_do_not_matter(tmp_path: Path) -> None:
    stamps = write_timesync(tmp_path / "t.csv", empty=(*range(START), *range(END - 1, 80)))
    clock = read(tmp_path / "t.csv", frames=59)
    assert clock.device_ns.tolist() == stamps[START : END - 1]


def test_cells_written_as_whole_numbers_read_alike(tmp_path: Path) -> None:
    write_timesync(tmp_path / "a.csv", as_float=True)
    write_timesync(tmp_path / "b.csv", as_float=False)
    a, b = (read(tmp_path / name, frames=60) for name in ("a.csv", "b.csv"))
    assert a.device_ns.tolist() == b.device_ns.tolist()


def test_rows_far_into_a_long_file_are_found(tmp_path: Path) -> None:
    # Several read blocks: the row count must go on from block to block.
    stamps = write_timesync(tmp_path / "t.csv", rows=60_000)
    clock = read_timesync_clock(
        tmp_path / "t.csv", cam_id="aria02", start_idx=57_000, end_idx=57_061, video=probe(60), k0=0
    )
    assert clock.device_ns.tolist() == stamps[57_000:57_060]


def test_video_of_another_rate_keeps_its_own_frame_times(tmp_path: Path) -> None:
    write_timesync(tmp_path / "t.csv")
    clock = read(tmp_path / "t.csv", frames=60, rate=Fraction(30000, 1001))
    assert clock.take_ns.tolist() == [round(Fraction(i * 1001, 30000) * 10**9) for i in range(60)]


@pytest.mark.parametrize(("step_ns", "fits"), [(33.99e6, True), (34.1e6, False), (32.6e6, False)])
def test_row_step_must_be_a_thirtieth_of_a_second(
    tmp_path: Path, step_ns: float, fits: bool
) -> None:
    write_timesync(tmp_path / "t.csv", step_ns=step_ns, jitter=0)
    if fits:
        assert read(tmp_path / "t.csv", frames=59).span.start_ns == 0
        return
    with pytest.raises(TakeError, match=r"33\.3 ms a row within 2 %, got 3") as caught:
        read(tmp_path / "t.csv", frames=59)
    assert caught.value.code == "timesync_rate"


def test_step_back_is_refused_with_its_row(tmp_path: Path) -> None:
    write_timesync(tmp_path / "t.csv", jitter=0)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    lines[1 + START + 5] = lines[1 + START + 3]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(TakeError, match=f"a step back at row {START + 5} ") as caught:
        read(tmp_path / "t.csv", frames=59)
    assert caught.value.code == "timesync_order"


def test_file_shorter_than_the_take_is_refused(tmp_path: Path) -> None:
    write_timesync(tmp_path / "t.csv", rows=END - 2)
    with pytest.raises(TakeError, match=f"must reach row {END - 2}, got {END - 2} rows") as caught:
        read(tmp_path / "t.csv", frames=59)
    assert caught.value.code == "timesync_short"


def test_missing_camera_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("cam01_pts\n1\n")
    with pytest.raises(TakeError, match=f"must have the column {COLUMN}") as caught:
        read(tmp_path / "t.csv", frames=59)
    assert caught.value.code == "timesync_column_missing"


def test_cell_that_is_no_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"{COLUMN}\nlate\n")
    with pytest.raises(TakeError, match="must be a CSV table, got ") as caught:
        read(tmp_path / "t.csv", frames=59)
    assert caught.value.code == "timesync_unreadable"


def test_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(TakeError, match="timesync_unreadable"):
        read(tmp_path / "t.csv", frames=59)
