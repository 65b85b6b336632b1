"""The parts of a report, each from numbers to HTML."""

import json
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from pipelines.report.markup import Html, bars, cards, element, join, table
from pipelines.report.quality import NO_SPLIT, Bins, Overview, Spread
from pipelines.report.svg import draw_scatter
from schemas.manifest import Counts, Manifest
from schemas.segment import SPLITS
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = [
    "section",
    "show_alignment",
    "show_bins",
    "show_funnel",
    "show_labels",
    "show_making",
    "show_overview",
    "show_quarantine",
    "show_segments",
]

_LAG_LIMITS_MS: Final = (50, 100, 200, 500, 1000, 1500)


def section(name: str, title: str, *parts: object) -> Html:
    """Return a section that the navigation's ``#name`` leads to."""
    return element("section", element("h2", title), *parts, id=name)


def show_overview(overview: Overview, *, manifest: Manifest) -> Html:
    """Show what the version holds."""
    counts, encoder = manifest.counts, manifest.encoder
    lost = sum(counts.dropped.values())
    held = sum(counts.quarantined.values())
    bad_takes = sum(counts.quarantined_takes.values())
    takes_remark = f"{bad_takes:,} more quarantined" if bad_takes else "none quarantined"
    people = f"{overview.participants:,}" if overview.participants else "not known"
    length_s = manifest.imu.length_ns / NS_PER_S
    embedded: list[tuple[str, object, str]] = []
    made_by = ("encoder", "none", "IMU alone: no picture and no sentence was embedded")
    if encoder is not None:
        embedded = [
            ("with video", f"{overview.with_video:,}", f"embedding of {encoder.video_dim}"),
            ("with text", f"{overview.with_text:,}", f"embedding of {encoder.text_dim}"),
        ]
        made_by = ("encoder", encoder.name, f"{encoder.precision} on {encoder.device_kind}")
    return cards(
        [
            ("segments stored", f"{overview.segments:,}", f"of {counts.planned:,} planned"),
            ("dropped", f"{lost:,}", "segments, each with a reason"),
            ("quarantined", f"{held:,}", "segments of faulty takes"),
            ("takes", f"{overview.takes:,}", takes_remark),
            ("participants", people, f"{counts.shared_participants:,} in more than one split"),
            (
                "hours covered",
                f"{overview.covered_hours:.2f}",
                f"{overview.segment_hours:.2f} h of segments",
            ),
            *embedded,
            (
                "window",
                f"{len(manifest.imu.channels)} x {manifest.imu.samples}",
                f"{length_s:g} s at {manifest.imu.rate_hz} Hz",
            ),
            made_by,
        ]
    )


def show_labels(counted: pl.DataFrame) -> Html:
    """Show segments by label and split; takes the table of `quality.count_labels`."""
    columns = [*SPLITS]
    if counted[NO_SPLIT].sum():
        columns.append(NO_SPLIT)
    columns.append("total")
    rows: list[list[object]] = []
    for row in counted.iter_rows(named=True):
        name = "no label" if row["label"] is None else row["label"]
        rows.append([name, *(f"{row[c]:,}" for c in columns)])
    if len(rows) > 1:
        rows.append(["all", *(f"{int(counted[c].sum()):,}" for c in columns)])
    return table(["label", *columns], rows)


def show_funnel(counts: Counts) -> Html:
    """Show what became of every planned segment, and which annotations were not used."""
    lost = sorted(counts.dropped.items(), key=lambda item: (-item[1], item[0]))
    held = sorted(counts.quarantined.items(), key=lambda item: (-item[1], item[0]))
    parts = [
        bars(
            [
                ("planned", counts.planned, "plain"),
                *((f"dropped: {reason}", n, "lost") for reason, n in lost),
                *((f"quarantined: {reason}", n, "held") for reason, n in held),
                ("stored", counts.stored, "good"),
            ],
            whole=counts.planned,
        )
    ]
    if counts.ignored:
        parts.append(element("h3", "Annotations not used"))
        parts.append(bars([(reason, n, "lost") for reason, n in sorted(counts.ignored.items())]))
    return join(parts)


def show_quarantine(quarantine: pl.DataFrame, *, total: int) -> Html:
    """Show the quarantined takes; ``total`` counts those left out here too."""
    if not total:
        return element("p", "No take was quarantined.")
    rows = [
        [row["take_name"] or row["take_uid"], row["reason"], row["detail"], f"{row['segments']:,}"]
        for row in quarantine.iter_rows(named=True)
    ]
    shown = _shown(len(rows), total, "takes")
    return join([shown, table(["take", "reason", "what was found", "segments"], rows, words=3)])


def show_alignment(takes: pl.DataFrame, *, frame_error: Spread, limit: int) -> Html:
    """Show lags by take, worst first; takes the table of `quality.summarise_takes`."""
    known = takes.filter(pl.col("lag_ms").is_not_null())
    uncertain = takes.filter(pl.col("clock_uncertainty_ms") > 0).height
    corrected = takes.filter(pl.col("corrected_ms").fill_null(0) != 0).height
    summary = cards(
        [
            ("takes measured", f"{known.height:,}", f"of {takes.height:,}"),
            ("median lag", _ms(known["lag_ms"].median()), "gyro behind picture"),
            ("largest lag", _ms(known["lag_ms"].abs().max()), "either way"),
            ("largest drift", _ms(takes["drift_ms"].abs().max()), "from a take's start to its end"),
            ("suspect", f"{takes.filter('suspect').height:,}", "takes beyond audit.suspect_ms"),
            ("corrected", f"{corrected:,}", "takes whose IMU was moved by its lag"),
            (
                "frame error",
                _ms(frame_error.largest),
                f"largest; median {_ms(frame_error.median)}",
            ),
            (
                "clock uncertain",
                f"{uncertain:,}",
                "takes whose clock may be off, by the column below",
            ),
        ]
    )
    rows = [
        [
            row["take_name"],
            "cannot be told" if row["lag_ms"] is None else f"{row['lag_ms']:+.1f}",
            None if row["drift_ms"] is None else f"{row['drift_ms']:+.0f}",
            None if row["r2"] is None else f"{row['r2']:.2f}",
            None if row["confidence"] is None else f"{row['confidence']:.2f}",
            "suspect" if row["suspect"] else None,
            None if row["frame_error_ms"] is None else f"{row['frame_error_ms']:.1f}",
            f"{row['clock_uncertainty_ms']:.1f}",
            row["split"] or NO_SPLIT,
            f"{row['segments']:,}",
        ]
        for row in takes.head(limit).iter_rows(named=True)
    ]
    head = [
        "take",
        "lag, ms",
        "drift, ms",
        "R²",
        "confidence",
        "clocks",
        "frame error, ms",
        "clock uncertainty, ms",
        "split",
        "segments",
    ]
    points = [
        (row["lag_ms"], row["r2"], f"{row['take_name']}: {row['lag_ms']:+.1f} ms")
        for row in known.head(limit).iter_rows(named=True)
        if row["r2"] is not None
    ]
    parts = [
        element(
            "p",
            "The lag is measured from the data alone: the turn rates are integrated between "
            "pictures and regressed on how far the picture moved; the shift in time that explains "
            "most is the lag. A positive lag means that the gyro is late. Confidence says how far "
            "that lag stands out from all others, drift how much it grows over the take. Only "
            "where audit.correct was on was the IMU moved by it.",
            class_="soft",
        ),
        summary,
    ]
    if points:
        reach = max(abs(x) for x, _, _ in points)
        x_limit = next((limit_ms for limit_ms in _LAG_LIMITS_MS if limit_ms >= reach), reach)
        parts.append(
            draw_scatter(
                points,
                x_name="lag of the gyro, ms",
                y_name="R² of the regression, one point a take",
                x_limit=x_limit,
            )
        )
    parts += [_shown(len(rows), takes.height, "takes, largest lag first"), table(head, rows)]
    return join(parts)


def show_bins(
    title: str, bins: Bins, *, unit: str = "", scale: float = 1, remark: str = ""
) -> Html:
    """Show a histogram.

    Args:
        title: what is counted.
        bins: the histogram.
        unit: of the edges once divided by ``scale``; empty for whole numbers, whose bins read
            ``3 to 4``.
        scale: what the edges are divided by.
        remark: one sentence below the title.
    """
    items: list[tuple[str, int, str]] = []
    for i, n in enumerate(bins.counts):
        low = bins.edges[i] / scale
        if i + 1 == len(bins.edges):
            name = f"{low:g} {unit} or more".replace("  ", " ")
        elif unit:
            name = f"{low:g} to {bins.edges[i + 1] / scale:g} {unit}"
        else:
            high = bins.edges[i + 1] - 1
            name = f"{low:g}" if high == bins.edges[i] else f"{low:g} to {high}"
        items.append((name, n, "plain"))
    if bins.unknown:
        items.append(("not known", bins.unknown, "held"))
    return element(
        "div",
        element("h3", title),
        element("p", remark, class_="soft") if remark else Html(),
        bars(items),
    )


def show_segments(segments: pl.DataFrame, *, total: int) -> Html:
    """Show rows of the segment table, evenly picked from ``total``."""
    rows = [
        [
            row["take_name"],
            row["label"],
            row["split"],
            row["text"],
            f"{row['start_ns'] / NS_PER_S:.2f}",
            _ms(row["imu_gap_ns"], NS_PER_MS),
            row["frames"],
            row["tokens"],
            row["overlaps"],
        ]
        for row in segments.iter_rows(named=True)
    ]
    head = ["take", "label", "split", "text", "start, s", "IMU gap", "frames", "tokens", "overlaps"]
    return element(
        "details",
        element("summary", _shown_words(len(rows), total, "segments, evenly picked")),
        table(head, rows, words=4),
    )


def show_making(manifest: Manifest, *, run: Mapping[str, Any]) -> Html:
    """Show the config and how the version was made."""
    facts: list[tuple[str, object]] = [
        (name.replace("_", " "), run[name])
        for name in ("made_at", "executor", "workers", "computed_takes", "reused_takes", "commit")
        if run.get(name) is not None
    ]
    facts += [(f"seconds: {k}", f"{v:.1f}") for k, v in sorted(run.get("seconds", {}).items())]
    shown = json.dumps(manifest.config, indent=2, sort_keys=True, ensure_ascii=False)
    return join(
        [
            table(["of the run", "value"], facts) if facts else element("p", "No run record."),
            element(
                "details",
                element("summary", "The config, as the manifest holds it"),
                element("div", element("pre", shown), class_="scroll"),
            ),
        ]
    )


def _ms(value: Any, scale: float = 1.0) -> str:  # noqa: ANN401 - a number or None, as polars gives it
    return "-" if value is None else f"{value / scale:.1f} ms"


def _shown_words(shown: int, total: int, what: str) -> str:
    return f"{shown:,} of {total:,} {what}"


def _shown(shown: int, total: int, what: str) -> Html:
    return element("p", f"{_shown_words(shown, total, what)}.", class_="soft")
