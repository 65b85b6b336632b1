"""Figures of results, drawn without a display."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["COLOURS", "MARKERS", "print_style", "probe_figure", "render"]

COLOURS: Final = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
"""Okabe and Ito's, which the colour-blind tell apart; yellow is left out, it is too light."""
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")

_NO_DATES: Final[dict[str, dict[str, None]]] = {
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}
_STYLE: Final[dict[str, Any]] = {
    "pdf.fonttype": 42,  # TrueType, whole: journals refuse Type 3
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
}


@contextmanager
def print_style() -> Iterator[None]:
    """Let figures made and rendered inside look as a paper's, whatever the user's settings are."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


def render(figure: Figure, *, kind: Literal["pdf", "png"]) -> bytes:
    """Return a figure's file, the same bytes each time: it holds no date."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=_NO_DATES[kind])
    return buffer.getvalue()


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
    return render(figure, kind="png")
