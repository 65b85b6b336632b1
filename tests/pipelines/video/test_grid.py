import numpy as np
import numpy.typing as npt
import pytest

from pipelines.video.grid import match_frames, needed_grid


def slow_match(pts: list[int], grid: list[int], tolerance: int) -> list[int]:
    matched = []
    for t in grid:
        best = -1
        for i, p in enumerate(pts):
            if abs(p - t) <= tolerance and (best < 0 or abs(p - t) < abs(pts[best] - t)):
                best = i
        matched.append(best)
    return matched


def as_ns(values: list[int]) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


@pytest.mark.parametrize("seed", range(20))
def test_matches_like_the_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pts = np.cumsum(rng.integers(1, 8, size=30)).tolist()
    grid = rng.integers(-10, 150, size=40).tolist()
    tolerance = int(rng.integers(0, 5))
    result = match_frames(as_ns(pts), grid=as_ns(grid), tolerance_ns=tolerance)
    assert result.dtype == np.int64
    assert result.tolist() == slow_match(pts, grid, tolerance)


def test_tie_goes_to_the_earlier_frame() -> None:
    assert match_frames(as_ns([0, 10, 20]), grid=as_ns([5, 15]), tolerance_ns=5).tolist() == [0, 1]


def test_tolerance_is_inclusive() -> None:
    pts = as_ns([100])
    assert match_frames(pts, grid=as_ns([83, 117]), tolerance_ns=17).tolist() == [0, 0]
    assert match_frames(pts, grid=as_ns([82, 118]), tolerance_ns=17).tolist() == [-1, -1]


def test_ntsc_frames_stay_on_the_grid_for_an_hour() -> None:
    # 29.97 frames a second: the nearest frame is never further than half a frame, 16.7 ms.
    pts = np.array([round(i * 1001 / 30000 * 1e9) for i in range(30 * 3600)], dtype=np.int64)
    grid = np.arange(0, int(pts[-1]), 100_000_000, dtype=np.int64)
    matched = match_frames(pts, grid=grid, tolerance_ns=17_000_000)
    assert matched.min() == 0
    assert matched.tolist() == [round(t * 30000 / 1001 / 1e9) for t in grid.tolist()]


def test_no_frames_and_no_grid() -> None:
    assert match_frames(as_ns([]), grid=as_ns([0, 1]), tolerance_ns=9).tolist() == [-1, -1]
    assert match_frames(as_ns([0]), grid=as_ns([]), tolerance_ns=9).tolist() == []


def slow_needed(start: list[int], end: list[int], step: int) -> list[int]:
    return sorted(
        {t for a, b in zip(start, end, strict=True) for t in range(a, b) if t % step == 0}
    )


@pytest.mark.parametrize("seed", range(20))
def test_needed_times_are_those_of_the_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.integers(-50, 200, size=rng.integers(0, 12)).astype(np.int64)
    # Empty ones and some that end before they start are among them.
    end = start + rng.integers(-3, 40, size=len(start))
    step = int(rng.integers(1, 12))
    got = needed_grid(start, end, step_ns=step)
    assert got.dtype == np.int64
    assert got.tolist() == slow_needed(start.tolist(), end.tolist(), step)


def test_a_time_at_the_exclusive_end_is_not_needed() -> None:
    assert needed_grid(as_ns([10]), as_ns([30]), step_ns=10).tolist() == [10, 20]
    assert needed_grid(as_ns([10]), as_ns([31]), step_ns=10).tolist() == [10, 20, 30]
    assert needed_grid(as_ns([11]), as_ns([20]), step_ns=10).tolist() == []


def test_segments_that_touch_share_no_time() -> None:
    assert needed_grid(as_ns([20, 0]), as_ns([40, 20]), step_ns=10).tolist() == [0, 10, 20, 30]
    assert needed_grid(as_ns([]), as_ns([]), step_ns=10).tolist() == []


def test_narrations_by_the_hundred_thousand_cover_a_whole_take() -> None:
    rng = np.random.default_rng(0)
    start = rng.integers(0, 4 * 3600 * 50, size=100_000) * 20_000_000
    got = needed_grid(start, start + 5_000_000_000, step_ns=100_000_000)
    # Seven starts a second: only the first and the last seconds are not covered throughout.
    assert 143_900 < len(got) < 144_051
    assert set(np.diff(got).tolist()) <= {100_000_000, 200_000_000}


def test_starts_and_ends_come_in_pairs() -> None:
    with pytest.raises(ValueError, match="equally long, got 2 and 1"):
        needed_grid(as_ns([0, 1]), as_ns([2]), step_ns=1)
