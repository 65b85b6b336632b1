"""Small inline drawings. Words stay out of them where the drawing is stretched to its place."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pipelines.report.markup import Html, element

__all__ = ["draw_scatter", "draw_sparkline"]


def draw_sparkline(values: npt.NDArray[np.float32], *, kind: str) -> Html:
    """Draw one channel, from its least to its greatest value, over the full width.

    Args:
        values: (T,) at a fixed rate.
        kind: colour class.
    """
    low, high = float(values.min()), float(values.max())
    span = high - low or 1.0
    x = np.linspace(0, 100, len(values)) if len(values) > 1 else np.array([50.0])
    y = 1 + 28 * (1 - (values - low) / span) if high > low else np.full(len(values), 15.0)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return element(
        "svg",
        element("polyline", points=points, class_=kind),
        viewBox="0 0 100 30",
        preserveAspectRatio="none",
        class_="spark",
        aria_hidden="true",
    )


def draw_scatter(
    points: Sequence[tuple[float, float, str]], *, x_name: str, y_name: str, x_limit: float
) -> Html:
    """Draw points over x in ``[-x_limit, x_limit]`` and y in ``[0, 1]``.

    Args:
        points: (x, y, title); a title shows on hovering.
        x_name: name and unit of the horizontal axis.
        y_name: name of the vertical axis.
        x_limit: positive.
    """
    left, top, width, height = 34, 16, 316, 120

    def across(x: float) -> str:
        return f"{left + width * (x + x_limit) / (2 * x_limit):.1f}"

    def down(y: float) -> str:
        return f"{top + height * (1 - y):.1f}"

    parts: list[Html] = [element("text", y_name, x=2, y=10)]
    for y in (0.0, 0.5, 1.0):
        parts.append(
            element("line", x1=left, x2=left + width, y1=down(y), y2=down(y), class_="rule")
        )
        parts.append(element("text", f"{y:g}", x=left - 5, y=float(down(y)) + 4, text_anchor="end"))
    for share in (-1.0, -0.5, 0.0, 0.5, 1.0):
        x = share * x_limit
        parts.append(
            element(
                "line",
                x1=across(x),
                x2=across(x),
                y1=top,
                y2=top + height,
                class_="rule" if x else "zero",
            )
        )
        anchor = "end" if share == 1 else "middle"
        parts.append(
            element("text", f"{x:g}", x=across(x), y=top + height + 14, text_anchor=anchor)
        )
    parts.append(
        element(
            "text",
            x_name,
            x=left + width / 2,
            y=top + height + 30,
            text_anchor="middle",
        )
    )
    for x, y, title in points:
        parts.append(
            element(
                "g",
                element("title", title),
                element("circle", cx=across(x), cy=down(min(max(y, 0.0), 1.0)), r=4),
                class_="point",
            )
        )
    return element(
        "svg", *parts, viewBox=f"0 0 {left + width + 10} {top + height + 36}", class_="chart"
    )
