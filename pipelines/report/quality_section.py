"""The report's section on quality: a histogram or number for every quality column."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from pipelines.report.markup import Html, element, join, table
from pipelines.report.quality import count_bins, summarise_version
from pipelines.report.sections import show_bins
from schemas.manifest import Manifest
from schemas.time import NS_PER_MS

__all__ = ["show_quality"]

_TOKEN_EDGES: Final = (0, 8, 12, 16, 24, 32, 48)
_FIGURES: Final = ("count", "mean", "p05", "p50", "p95", "max")
_PERCENT: Final = 0.01
_NS_PER_US: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Histogram:
    title: str
    column: str
    edges: tuple[float, ...]
    """In ``unit``."""
    unit: str = ""
    scale: float = 1
    remark: str = ""


_HISTOGRAMS: Final = (
    _Histogram(
        title="Longest IMU gap in a segment",
        column="imu_gap_ns",
        edges=(0, 2, 5, 10, 20, 50, 100),
        unit="ms",
        scale=NS_PER_MS,
        remark="Time between the recorded samples that a window rests on.",
    ),
    _Histogram(
        title="IMU coverage of a segment",
        column="imu_coverage",
        edges=(0, 50, 80, 90, 95, 99, 100),
        unit="%",
        scale=_PERCENT,
        remark="Share of the window's grid points that rest on recorded samples.",
    ),
    _Histogram(
        title="Jitter of the IMU's intervals",
        column="imu_jitter_ns",
        edges=(0, 1, 5, 20, 100, 500, 2000),
        unit="us",
        scale=_NS_PER_US,
        remark="Standard deviation of the time from one accelerometer sample to the next.",
    ),
    _Histogram(
        title="IMU samples left out",
        column="imu_invalid_share",
        edges=(0, 0.1, 1, 5, 20, 50),
        unit="%",
        scale=_PERCENT,
        remark="Flagged invalid, empty or not finite.",
    ),
    _Histogram(
        title="IMU samples at the end of their range",
        column="imu_saturated_share",
        edges=(0, 0.1, 1, 5, 20, 50),
        unit="%",
        scale=_PERCENT,
    ),
    _Histogram(
        title="Half seconds without motion",
        column="imu_still_share",
        edges=(0, 10, 25, 50, 75, 90),
        unit="%",
        scale=_PERCENT,
    ),
    _Histogram(
        title="Grid frames without a picture",
        column="frames_missing",
        edges=(0, 1, 2, 3, 5),
        remark="A segment may lack a tenth of its grid frames.",
    ),
    _Histogram(
        title="Narrations a minute",
        column="narrations_per_minute",
        edges=(0, 2, 5, 10, 20, 40, 80),
        unit="a minute",
        remark="Of the take, within half a minute of the segment's middle.",
    ),
    _Histogram(
        title="Different sentences in a segment's window",
        column="sentences_in_window",
        edges=(0, 1, 2, 3, 5, 8),
        remark="With more than one, the segment's own sentence is ambiguous.",
    ),
)


def show_quality(segments: pl.LazyFrame, *, manifest: Manifest) -> Html:
    """Show the quality columns; those that no row has a value in are left out.

    Args:
        segments: columns of the segment table, in any order of rows.
        manifest: of the version.
    """
    names = segments.collect_schema().names()
    shown = [entry.column for entry in _HISTOGRAMS if entry.column in names]
    known = segments.select(pl.col(shown).count()).collect().row(0, named=True)
    longest = manifest.encoder.max_tokens if manifest.encoder is not None else None
    overview = summarise_version(segments, max_tokens=longest)
    parts = [_show(segments, entry) for entry in _HISTOGRAMS if known.get(entry.column)]
    overlaps = _Histogram(
        title="Other segments of the take that a segment meets",
        column="overlaps",
        edges=(0, 1, 2, 3, 5, 10, 20),
        remark=f"{overview.shared_windows:,} rows share their exact window with another row; "
        f"{overview.repeats:,} repeat window, source and sentence.",
    )
    parts.append(_show(segments, overlaps))
    if longest is not None:
        edges = tuple(edge for edge in _TOKEN_EDGES if edge <= longest)
        tokens = _Histogram(
            title="Tokens of a sentence",
            column="tokens",
            edges=(*edges, longest + 1),
            remark=f"The encoder reads {longest}; {overview.truncated:,} sentences are cut.",
        )
        parts.append(_show(segments, tokens))
    return join([element("div", *parts, class_="pair"), _show_figures(manifest)])


def _show(segments: pl.LazyFrame, entry: _Histogram) -> Html:
    edges = [edge * entry.scale for edge in entry.edges]
    return show_bins(
        entry.title,
        count_bins(segments, column=entry.column, edges=edges),
        unit=entry.unit,
        scale=entry.scale,
        remark=entry.remark,
    )


def _show_figures(manifest: Manifest) -> Html:
    if not manifest.quality:
        return Html()
    rows = [
        [column, f"{figures['count']:,.0f}", *(f"{figures[name]:g}" for name in _FIGURES[1:])]
        for column, figures in manifest.quality.items()
    ]
    head = ["column", "rows", "mean", "5 %", "median", "95 %", "largest"]
    return element(
        "details",
        element("summary", "Every quality column, as the manifest holds it"),
        table(head, rows),
    )
