"""Summaries of a segment table, for people. Pure: a lazy table in, small numbers out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl

from schemas.segment import SPLITS
from schemas.time import NS_PER_MS, NS_PER_S

__all__ = [
    "NO_SPLIT",
    "Bins",
    "Overview",
    "Spread",
    "choose_examples",
    "count_bins",
    "count_labels",
    "spread_rows",
    "summarise_column",
    "summarise_takes",
    "summarise_version",
]

NO_SPLIT: Final = "no split"
"""Column of `count_labels` for rows without a split."""

_NS_PER_HOUR: Final = 3600 * NS_PER_S
# Versions made before these columns have none of them.
_LATER: Final = ("take_lag_confidence", "take_lag_drift_ns", "sync_suspect", "imu_correction_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What a version holds, in one line of numbers.

    Attributes:
        segment_hours: lengths of all segments added up; shared seconds count each time.
        covered_hours: seconds of recording that at least one segment covers.
        repeats: rows that repeat an earlier row's window, source and sentence.
        shared_windows: rows whose exact window another row of the take has too.
        truncated: sentences longer than the encoder reads.
    """

    segments: int
    takes: int
    participants: int
    segment_hours: float
    covered_hours: float
    with_imu: int
    with_video: int
    with_text: int
    repeats: int
    shared_windows: int
    truncated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """A histogram: ``counts[i]`` values in ``[edges[i], edges[i + 1])``, the last one open."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    unknown: int
    """Rows without a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Middle and far end of a column; None where no row has a value."""

    known: int
    unknown: int
    median: float | None
    p95: float | None
    largest: float | None


def summarise_version(segments: pl.LazyFrame, *, max_tokens: int | None) -> Overview:
    """Return the overview of a segment table.

    Args:
        segments: columns of the segment table, in any order of rows.
        max_tokens: longest sentence the encoder takes; None without an encoder.
    """
    longer = pl.col("tokens") > max_tokens if max_tokens is not None else pl.lit(value=False)
    counts = segments.select(
        segments=pl.len(),
        takes=pl.col("take_uid").n_unique(),
        participants=pl.col("participant").drop_nulls().n_unique(),
        length_ns=(pl.col("end_ns") - pl.col("start_ns")).sum(),
        with_imu=pl.col("has_imu").sum(),
        with_video=pl.col("has_video").sum(),
        with_text=pl.col("has_text").sum(),
        repeats=(pl.col("duplicate_index") > 0).sum(),
        shared_windows=(pl.col("same_window") > 0).sum(),
        truncated=longer.sum(),
    )
    row = counts.collect().row(0, named=True)
    length_ns = int(row.pop("length_ns"))
    return Overview(
        segment_hours=length_ns / _NS_PER_HOUR,
        covered_hours=_covered_ns(segments) / _NS_PER_HOUR,
        **{name: int(value) for name, value in row.items()},
    )


def _covered_ns(segments: pl.LazyFrame) -> int:
    # Going through a take by start, a row adds what lies beyond the furthest end so far.
    reached_ns = pl.col("end_ns").cum_max().shift(1).over("take_uid")
    fresh_ns = pl.col("end_ns") - pl.max_horizontal(pl.col("start_ns"), reached_ns)
    total = (
        segments.select("take_uid", "start_ns", "end_ns")
        .sort("take_uid", "start_ns", "end_ns")
        .select(fresh_ns.clip(lower_bound=0).sum())
    )
    return int(total.collect().item() or 0)


def count_labels(segments: pl.LazyFrame) -> pl.DataFrame:
    """Return segments by label and split.

    Returns:
        One row a label, most segments first, the null label last: columns ``label``, ``train``,
        ``val``, ``test``, ``no split``, ``total``.
    """
    counted = segments.group_by("label", "split").agg(n=pl.len())
    split = pl.col("split").fill_null(NO_SPLIT)
    columns = (*SPLITS, NO_SPLIT)
    return (
        counted.group_by("label")
        .agg(
            *(
                pl.col("n").filter(split == name).sum().cast(pl.Int64).alias(name)
                for name in columns
            ),
            pl.col("n").sum().cast(pl.Int64).alias("total"),
        )
        .sort(pl.col("label").is_null(), -pl.col("total"), "label")
        .collect()
    )


def summarise_takes(segments: pl.LazyFrame) -> pl.DataFrame:
    """Return how well each take is aligned, worst first.

    Returns:
        One row a take: largest absolute lag first, takes whose lag cannot be told last; columns
        ``take_uid``, ``take_name``, ``split``, ``segments``, ``lag_ms``, ``r2``, ``confidence``,
        ``drift_ms``, ``suspect``, ``corrected_ms``, ``frame_error_ms`` (largest),
        ``clock_uncertainty_ms`` (largest). Null where the version has no such column.
    """
    had = segments.collect_schema().names()
    absent = [pl.lit(None, dtype=pl.Float64).alias(n) for n in _LATER if n not in had]
    return (
        segments.with_columns(absent)
        .group_by("take_uid")
        .agg(
            pl.col("take_name").first(),
            pl.col("split").first(),
            pl.len().cast(pl.Int64).alias("segments"),
            (pl.col("take_lag_ns").first() / NS_PER_MS).alias("lag_ms"),
            pl.col("take_lag_r2").first().cast(pl.Float64).alias("r2"),
            pl.col("take_lag_confidence").first().cast(pl.Float64).alias("confidence"),
            (pl.col("take_lag_drift_ns").first() / NS_PER_MS).alias("drift_ms"),
            pl.col("sync_suspect").first().cast(pl.Boolean).alias("suspect"),
            (pl.col("imu_correction_ns").max() / NS_PER_MS).alias("corrected_ms"),
            (pl.col("frame_error_ns").max() / NS_PER_MS).alias("frame_error_ms"),
            (pl.col("clock_uncertainty_ns").max() / NS_PER_MS).alias("clock_uncertainty_ms"),
        )
        .sort(-pl.col("lag_ms").abs(), "take_uid", nulls_last=True)
        .collect()
    )


def count_bins(segments: pl.LazyFrame, *, column: str, edges: Sequence[float]) -> Bins:
    """Count a column's values between ``edges``; the last bin has no upper end.

    Raises:
        ValueError: if a value lies below the first edge.
    """
    value = pl.col(column)
    inside = [
        ((value >= low) & (value < high)).sum().alias(str(i))
        for i, (low, high) in enumerate(pairwise(edges))
    ]
    last = (value >= edges[-1]).sum().alias(str(len(inside)))
    row = (
        segments.select(
            *inside,
            last,
            below=(value < edges[0]).sum(),
            unknown=value.is_null().sum(),
        )
        .collect()
        .row(0, named=True)
    )
    if row["below"]:
        raise ValueError(f"{column} must be at least {edges[0]}, got {row['below']} rows below")
    return Bins(
        edges=tuple(edges),
        counts=tuple(int(row[str(i)]) for i in range(len(edges))),
        unknown=int(row["unknown"]),
    )


def summarise_column(segments: pl.LazyFrame, *, column: str, scale: float = 1.0) -> Spread:
    """Return middle and far end of a column, divided by ``scale``."""
    value = pl.col(column)
    row = (
        segments.select(
            known=value.count(),
            unknown=value.null_count(),
            median=value.median() / scale,
            p95=value.quantile(0.95, interpolation="linear") / scale,
            largest=value.max() / scale,
        )
        .collect()
        .row(0, named=True)
    )
    return Spread(**row)


def choose_examples(
    labels: pl.Series, *, count: int, generator: np.random.Generator
) -> tuple[int, ...]:
    """Choose rows at random so that every label comes up in turn.

    Args:
        labels: (N,) label of each row, null where unknown.
        count: how many rows at most.
        generator: source of the choice.

    Returns:
        Row numbers in increasing order; one of each label before a second of any.
    """
    order = generator.permutation(len(labels))
    shuffled = pl.DataFrame({"row": order, "label": labels.gather(order)}).with_columns(
        turn=pl.int_range(pl.len()).over("label")
    )
    # A stable sort by turn deals one row of each label per round, in shuffled order.
    dealt = shuffled.sort("turn", maintain_order=True).head(count)
    return tuple(sorted(int(row) for row in dealt["row"]))


def spread_rows(total: int, *, limit: int) -> tuple[int, ...]:
    """Return at most ``limit`` row numbers, evenly spaced over ``total`` rows."""
    n = min(total, limit)
    return tuple(i * total // n for i in range(n))
