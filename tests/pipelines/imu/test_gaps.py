import numpy as np
import pytest

from pipelines.imu.gaps import GAP_CAP_NS, enclosing_gap_ns

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
