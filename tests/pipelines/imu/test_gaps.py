import numpy as np
import pytest

from pipelines.imu.gaps import GAP_CAP_NS, enclosing_gap_ns, find_enclosing

STAMPS = np.array([0, 10, 20, 150, 160])


@pytest.mark.parametrize(
    ("t", "gap"),
    [
        pytest.param(-1, GAP_CAP_NS, id="before"),
        pytest.param(0, 0, id="on_the_first"),
        pytest.param(5, 10, id="between"),
        pytest.param(20, 0, id="at_the_edge_of_a_gap"),
        pytest.param(21, 130, id="in_a_gap"),
        pytest.param(149, 130, id="at_the_end_of_a_gap"),
        pytest.param(160, 0, id="on_the_last"),
        pytest.param(161, GAP_CAP_NS, id="after"),
    ],
)
def test_gap_is_the_interval_around_a_point(t: int, gap: int) -> None:
    assert enclosing_gap_ns(np.array([t]), stamps_ns=STAMPS).tolist() == [gap]


def test_gaps_equal_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    stamps = np.unique(rng.integers(0, 3000, 200))
    t = np.arange(-50, 3050)
    expected = []
    for x in t.tolist():
        before = [s for s in stamps.tolist() if s <= x]
        after = [s for s in stamps.tolist() if s >= x]
        expected.append(after[0] - before[-1] if before and after else GAP_CAP_NS)
    assert enclosing_gap_ns(t, stamps_ns=stamps).tolist() == expected


def test_long_gaps_are_capped() -> None:
    stamps = np.array([0, 3 * GAP_CAP_NS])
    assert enclosing_gap_ns(np.array([GAP_CAP_NS]), stamps_ns=stamps).tolist() == [GAP_CAP_NS]


def test_no_samples_leave_nothing_enclosed() -> None:
    gap = enclosing_gap_ns(np.array([0, 1]), stamps_ns=np.empty(0, dtype=np.int64))
    assert gap.tolist() == [GAP_CAP_NS, GAP_CAP_NS]


@pytest.mark.parametrize("t_step", [1, 7, 10, 1000])
@pytest.mark.parametrize("first", [-500, 0, 3, 2990, 5000])
def test_evenly_spaced_points_are_found_as_a_search_finds_them(first: int, t_step: int) -> None:
    rng = np.random.default_rng(first + 500 + t_step)
    t = first + np.arange(0, 3000, t_step)
    # Some stamps on points, some before the first of them and some after the last.
    stamps = np.unique(np.concatenate([rng.integers(-100, 3100, 150), t[::3], t[::5] + 1]))
    for some in (stamps, stamps[:1], stamps[stamps > t[-1]], stamps[stamps < first]):
        even, even_gap = find_enclosing(t, stamps_ns=some)
        # One point on top makes them uneven, which is searched.
        searched, searched_gap = find_enclosing(np.append(t, t[-1] + 3 * t_step), stamps_ns=some)
        assert even.tolist() == searched[:-1].tolist()
        assert even.tolist() == [int((some <= x).sum()) - 1 for x in t.tolist()]
        assert even_gap.tolist() == searched_gap[:-1].tolist()
