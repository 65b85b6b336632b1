import re
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines.report.svg import draw_scatter, draw_sparkline


def points_of(svg: str) -> list[tuple[float, float]]:
    line = ElementTree.fromstring(svg).find("polyline")
    assert line is not None
    pairs = [pair.split(",") for pair in line.attrib["points"].split()]
    return [(float(x), float(y)) for x, y in pairs]


def test_sparkline_goes_from_left_to_right_and_up_for_more() -> None:
    points = points_of(draw_sparkline(np.array([-1.0, 3.0, 1.0], np.float32), kind="accel"))
    assert points == [(0.0, 29.0), (50.0, 1.0), (100.0, 15.0)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([2.0], [(50.0, 15.0)], id="one_sample"),
        pytest.param([9.8, 9.8], [(0.0, 15.0), (100.0, 15.0)], id="constant"),
    ],
)
def test_sparkline_without_a_range_lies_in_the_middle(
    values: list[float], expected: list[tuple[float, float]]
) -> None:
    assert points_of(draw_sparkline(np.array(values, np.float32), kind="gyro")) == expected


def test_scatter_places_points_on_its_axes() -> None:
    svg = draw_scatter(
        [(-50.0, 0.0, "left"), (50.0, 1.0, "right"), (0.0, 0.5, "<middle>")],
        x_name="lag, ms",
        y_name="R²",
        x_limit=50,
    )
    root = ElementTree.fromstring(svg)
    circles = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter("circle")]
    assert circles == [(34.0, 136.0), (350.0, 16.0), (192.0, 76.0)]
    assert [t.text for t in root.iter("title")] == ["left", "right", "<middle>"]
    ticks = [t.text for t in root.iter("text")]
    assert {"-50", "-25", "0", "25", "50", "lag, ms"} <= set(ticks)
    assert not re.search(r"nan|inf", svg)
