"""A study's figure: curves over shots or shares, or a heat map of pairs."""

import math
from collections.abc import Sequence
from typing import Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from primus_train.figures import COLOURS, MARKERS, print_style, render
from primus_train.studies.grids import Grid, metric_words, percent

__all__ = ["draw_grids"]

_ACROSS: Final = 3
_WIDTH: Final = 2.75
_HEIGHT: Final = 2.5
_DPI: Final = 200
_LINE: Final = 8.2
"""Points between the lines under a title."""
_DODGE: Final = 0.012
"""Of the axis' width, between the points of two methods: their error bars stay apart."""


def draw_grids(grids: Sequence[Grid], *, marked: tuple[str, str] | None = None) -> dict[str, bytes]:
    """Return a study's figure in both formats, a panel a grid.

    Args:
        grids: of one study.
        marked: (row, column) of the cell of a heat map that is framed.
    """
    curves = not isinstance(grids[0].columns[0], str)
    with print_style():
        figure = _draw_curves(grids) if curves else _draw_heat(grids, marked=marked)
        return {"pdf": render(figure, kind="pdf"), "png": render(figure, kind="png")}


def _make_figure(count: int, *, width: float, height: float) -> tuple[Figure, list[Any]]:
    across = min(count, _ACROSS)
    down = math.ceil(count / across)
    figure = Figure(figsize=(width * across, height * down), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    places = figure.subplots(down, across, squeeze=False).flat
    axes = list(places)
    for empty in axes[count:]:
        empty.set_axis_off()
    return figure, axes[:count]


def _draw_curves(grids: Sequence[Grid]) -> Figure:
    width = _WIDTH + (0.9 if len(grids) == 1 else 0.0)
    figure, axes = _make_figure(len(grids), width=width, height=_HEIGHT)
    for panel, grid in zip(axes, grids, strict=True):
        _draw_panel(panel, grid)
    _add_titles(axes, grids)
    collapsed = [name for name in grids[0].rows if any(grid.collapsed(name) for grid in grids)]
    _add_legend(figure, grids, collapsed=collapsed)
    return figure


def _draw_panel(axes: Any, grid: Grid) -> None:  # noqa: ANN401 - matplotlib has no types
    shares = grid.corner[1].startswith("share")
    scale = 100.0 if shares else 1.0
    positions = [scale * float(column) for column in grid.columns]
    axes.set_xscale("log")
    span = math.log10(positions[-1] / positions[0]) or 1.0
    for number, name in enumerate(grid.rows):
        shift = 10 ** (span * _DODGE * (number - (len(grid.rows) - 1) / 2))
        points = [
            (x * shift, *grid.value(name, column), grid.cells[name, column]["near_chance"])
            for x, column in zip(positions, grid.columns, strict=True)
            if grid.value(name, column)[0] is not None
        ]
        _draw_line(axes, points, number=number)
    if grid.chance is not None:
        axes.axhline(100 * grid.chance, color="0.45", linestyle=(0, (4, 3)), linewidth=0.9)
    axes.set_xlim(positions[0] * 10 ** (-0.09 * span), positions[-1] * 10 ** (0.09 * span))
    axes.set_xticks(positions, labels=[f"{x:g}" for x in positions])
    axes.minorticks_off()
    axes.grid(axis="y", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_xlabel(
        "train segments with video and text (%)" if shares else "labelled windows per class"
    )
    axes.set_ylabel(f"{metric_words(grid.metric)} (%)")
    low, high = axes.get_ylim()
    # Some room: a bar at the edge is no bar.
    axes.set_ylim(max(0.0, low), min(100.5, high + 2.0))


def _draw_line(axes: Any, points: Sequence[tuple[Any, ...]], *, number: int) -> None:  # noqa: ANN401
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    if not points:
        return
    axes.errorbar(
        [point[0] for point in points],
        [100 * point[1] for point in points],
        yerr=[100 * (point[2] or 0.0) for point in points],
        color=colour,
        capsize=1.8,
        elinewidth=0.8,
        capthick=0.8,
    )
    for x, mean, _, near_chance in points:
        axes.plot(
            [x],
            [100 * mean],
            marker=marker,
            color=colour,
            markerfacecolor="white" if near_chance else colour,
            linestyle="none",
        )


def _add_titles(axes: Sequence[Any], grids: Sequence[Grid]) -> None:
    texts = [_facts(grid) for grid in grids]
    # As high on all panels, so that their titles stand in line.
    height = _LINE * max(1 + text.count("\n") for text in texts)
    for panel, grid, text in zip(axes, grids, texts, strict=True):
        panel.set_title(grid.title, fontweight="bold", pad=height + 5)
        panel.annotate(
            text,
            xy=(0.5, 1.0),
            xycoords="axes fraction",
            xytext=(0, height + 3),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=6.5,
            color="0.25",
            annotation_clip=False,
        )


def _facts(grid: Grid) -> str:
    """Return what stands under a panel's title."""
    lines = [grid.facts]
    absent = sorted(
        {
            float(column)
            for (_, column), cell in grid.cells.items()
            if cell[grid.metric] is None and not isinstance(column, str)
        }
    )
    if absent:
        share = grid.corner[1].startswith("share")
        where = ", ".join(f"{100 * x:g} %" if share else f"{x:g}" for x in absent)
        whole = all(cell[grid.metric] is None for (_, c), cell in grid.cells.items() if c in absent)
        lines.append(f"n/a at {where}{'' if whole else ' for some'}")
    if grid.comparison is not None:
        words, _, numbers = str(grid.comparison).partition(": ")
        lines += [words, numbers.rpartition(", n ")[0]]
    return "\n".join(lines)


def _add_legend(figure: Figure, grids: Sequence[Grid], *, collapsed: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            label=name + (" (collapsed)" if name in collapsed else ""),
        )
        for number, name in enumerate(grids[0].rows)
    ]
    handles.append(
        Line2D([], [], color="0.45", linestyle=(0, (4, 3)), linewidth=0.9, label="chance")
    )
    if any(cell["near_chance"] for grid in grids for cell in grid.cells.values()):
        handles.append(
            Line2D(
                [],
                [],
                color="0.3",
                marker="o",
                markerfacecolor="white",
                linestyle="none",
                label="hollow: near chance",
            )
        )
    widest = {1: 3, 2: 4}.get(len(grids), 6)
    lines = math.ceil(len(handles) / widest)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=math.ceil(len(handles) / lines),
        frameon=False,
        title="bars: standard error over trials",
        title_fontsize=6.5,
        handlelength=2.2,
        columnspacing=1.4,
    )


def _draw_heat(grids: Sequence[Grid], *, marked: tuple[str, str] | None) -> Figure:
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    figure, axes = _make_figure(len(grids), width=4.6, height=4.2)
    for panel, grid in zip(axes, grids, strict=True):
        values = np.array(
            [[_or_nan(grid.value(row, column)[0]) for column in grid.columns] for row in grid.rows]
        )
        image = panel.imshow(np.ma.masked_invalid(values), cmap=colormaps["viridis"])
        low, high = image.get_clim()
        for (row, column), cell in grid.cells.items():
            x, y = grid.columns.index(column), grid.rows.index(row)
            mean, error = grid.value(row, column)
            light = mean is None or mean > (low + high) / 2
            panel.text(
                x,
                y,
                percent(mean, error, plus_minus="\n±") + (" †" if cell["near_chance"] else ""),
                ha="center",
                va="center",
                fontsize=5.5,
                color="black" if light else "white",
            )
        if marked is not None and marked in grid.cells:
            x, y = grid.columns.index(marked[1]), grid.rows.index(marked[0])
            panel.add_patch(
                Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=2.2)
            )
        panel.set_xticks(range(len(grid.columns)), labels=grid.columns)
        panel.tick_params(axis="x", rotation=40)
        for label in panel.get_xticklabels():
            label.set_ha("right")
            label.set_rotation_mode("anchor")
        panel.set_yticks(range(len(grid.rows)), labels=grid.rows)
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
        figure.colorbar(
            image,
            ax=panel,
            shrink=0.8,
            label=f"{metric_words(grid.metric)} (%)",
            format=lambda value, _: f"{100 * value:.0f}",
        )
    _add_titles(axes, grids)
    notes = ["± standard error over trials"]
    if marked is not None:
        notes.append("framed: the default pair")
    if any(cell["near_chance"] for grid in grids for cell in grid.cells.values()):
        notes.append("† near chance")
    figure.supxlabel("; ".join(notes), fontsize=6.5)
    return figure


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
