"""Lines through measured points, and what workers lose beside each other."""

import pytest

from pipelines.pricing.rates import Line, Rates, Together, fit_line


def test_two_points_give_slope_and_constant() -> None:
    line = fit_line([(100, 2.0), (400, 5.0)])
    assert line.per_item == pytest.approx(0.01)
    assert line.per_take == pytest.approx(1.0)
    assert line.at(1000) == pytest.approx(11.0)
    assert line.at(1000, takes=3) == pytest.approx(13.0)


@pytest.mark.parametrize(
    ("points", "per_item"),
    [
        pytest.param([(100, 2.0)], 0.02, id="one_point"),
        pytest.param([(100, 2.0), (100, 4.0)], 0.03, id="equal_items"),
        pytest.param([(100, 4.0), (400, 2.0)], 0.012, id="no_slope_below_zero"),
        pytest.param([(100, 1.0), (200, 5.0)], 0.02, id="no_constant_below_zero"),
    ],
)
def test_points_that_make_no_line_are_proportional(
    points: list[tuple[float, float]], per_item: float
) -> None:
    line = fit_line(points)
    assert line.per_take == 0
    assert line.per_item == pytest.approx(per_item)


def test_the_line_costs_what_its_points_cost_in_all() -> None:
    points = [(100.0, 2.0), (400.0, 6.0), (410.0, 4.5)]
    line = fit_line(points)
    assert line.per_take > 0
    assert sum(line.at(n) for n, _ in points) == pytest.approx(12.5)


def test_takes_without_items_cost_their_mean() -> None:
    assert fit_line([(0, 1.0), (0, 3.0)]) == Line(per_take=2.0)
    assert fit_line([]) == Line()


def test_slowdown_grows_by_worker_and_is_none_where_not_measured() -> None:
    together = Together(workers=3, slowdown=1.5)
    assert [together.at(n) for n in (1, 2, 3, 5)] == pytest.approx([1.0, 1.25, 1.5, 2.0])
    assert Together().at(8) == 1.0
    # Measured beside other programs: it holds for what was measured, and stretches nothing else.
    odd = Together(workers=2, slowdown=0.8)
    assert [odd.at(n) for n in (1, 2, 4)] == [1.0, 0.8, 1.0]


def test_a_picture_of_its_own_wins_over_all_pictures() -> None:
    rates = Rates(stages={"frames": Line(per_item=1.0), "frames:full": Line(per_item=9.0)})
    assert rates.line("frames", variant="full").per_item == 9.0
    assert rates.line("frames", variant="448").per_item == 1.0
    assert rates.has("frames")
    assert not rates.has("imu")
    with pytest.raises(KeyError):
        rates.line("imu")
