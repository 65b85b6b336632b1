"""Figures of results, drawn without a display."""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["probe_figure"]


def probe_figure(rows: Sequence[dict[str, Any]], *, title: str) -> bytes:
    """Return a PNG of accuracy against shots per class, a line a split, bars = standard error.

    Args:
        rows: of the probe's table; n/a points are left out.
        title: what was probed.
    """
    figure = Figure(figsize=(6, 4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shots = sorted({row["shots"] for row in rows})
    for split in dict.fromkeys(row["split"] for row in rows):
        points = [r for r in rows if r["split"] == split and r["accuracy"] is not None]
        if not points:
            continue
        label = f"{split} (n = {points[0]['n']}, {points[0]['trials']} trials)"
        axes.errorbar(
            [r["shots"] for r in points],
            [100 * r["accuracy"] for r in points],
            yerr=[100 * (r["accuracy_se"] or 0.0) for r in points],
            marker="o",
            capsize=3,
            label=label,
        )
    axes.axhline(100 * rows[0]["chance"], color="grey", linestyle="--", label="chance")
    axes.set_xscale("log")
    axes.set_xticks(shots, labels=[str(s) for s in shots])
    axes.minorticks_off()
    axes.set_ylim(0, 100)
    axes.set_xlabel("labelled windows per class")
    axes.set_ylabel("accuracy (%)")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
