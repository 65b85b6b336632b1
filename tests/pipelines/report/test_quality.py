from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.report.quality import (
    Bins,
    choose_examples,
    count_bins,
    count_labels,
    spread_rows,
    summarise_column,
    summarise_takes,
    summarise_version,
)

from .conftest import SECOND, lazy, segment_row


def window(start_s: float, end_s: float, **changes: Any) -> dict[str, Any]:
    return segment_row(start_ns=int(start_s * SECOND), end_ns=int(end_s * SECOND), **changes)


def test_overview_counts_takes_people_and_modalities() -> None:
    rows = [
        segment_row(),
        segment_row(duplicate_index=1, same_window=1, tokens=78),
        segment_row(take_uid="b", participant=None, has_text=False, tokens=None),
        segment_row(take_uid="c", participant="egoexo4d:2", has_video=False, tokens=77),
    ]
    got = summarise_version(lazy(rows), max_tokens=77)
    assert (got.segments, got.takes, got.participants) == (4, 3, 2)
    assert (got.with_imu, got.with_video, got.with_text) == (4, 3, 3)
    assert (got.repeats, got.shared_windows, got.truncated) == (1, 1, 1)


def test_without_encoder_no_sentence_is_cut() -> None:
    rows = [segment_row(tokens=78), segment_row(tokens=None)]
    assert summarise_version(lazy(rows), max_tokens=None).truncated == 0


def test_covered_time_counts_each_second_of_a_take_once() -> None:
    rng = np.random.default_rng(5)
    rows = []
    seconds: set[tuple[str, int]] = set()
    total = 0
    for _ in range(60):
        take, start, length = rng.choice(["a", "b"]), int(rng.integers(0, 90)), int(rng.integers(9))
        rows.append(window(start, start + length, take_uid=take))
        seconds |= {(take, s) for s in range(start, start + length)}
        total += length
    got = summarise_version(lazy(rows), max_tokens=77)
    assert got.covered_hours == pytest.approx(len(seconds) / 3600)
    assert got.segment_hours == pytest.approx(total / 3600)
    assert got.covered_hours < got.segment_hours


def test_empty_table_is_all_zeros() -> None:
    got = summarise_version(lazy([]), max_tokens=77)
    assert (got.segments, got.takes, got.participants, got.covered_hours) == (0, 0, 0, 0.0)
    assert count_labels(lazy([])).height == 0
    assert summarise_takes(lazy([])).height == 0


def test_labels_by_split_with_unknown_ones_last() -> None:
    pairs = [
        ("dance", "train"),
        ("cooking", "train"),
        ("cooking", "test"),
        (None, "val"),
        (None, None),
        (None, "train"),
        ("cooking", "train"),
    ]
    table = count_labels(lazy([segment_row(label=a, split=b) for a, b in pairs]))
    assert table["label"].to_list() == ["cooking", "dance", None]
    expected = Counter((label, split or "no split") for label, split in pairs)
    for row in table.iter_rows(named=True):
        for split in ("train", "val", "test", "no split"):
            assert row[split] == expected[row["label"], split]
    assert table["total"].to_list() == [3, 1, 3]


def test_takes_come_worst_first_and_untold_last() -> None:
    rows = [
        segment_row(take_uid="a", take_lag_ns=5_000_000, imu_correction_ns=0),
        segment_row(take_uid="b", take_lag_ns=-40_000_000, frame_error_ns=3_000_000),
        segment_row(take_uid="b", take_lag_ns=-40_000_000, frame_error_ns=9_000_000),
        segment_row(take_uid="c", take_lag_ns=None, take_lag_r2=0.125),
        segment_row(
            take_uid="d",
            take_lag_ns=20_000_000,
            take_lag_confidence=0.5,
            take_lag_drift_ns=-3_000_000,
            sync_suspect=True,
            imu_correction_ns=20_000_000,
            clock_uncertainty_ns=33_000_000,
        ),
    ]
    table = summarise_takes(lazy(rows))
    shown = table.select("confidence", "drift_ms", "suspect", "corrected_ms").rows()
    nothing = (None, None, None, None)
    assert shown == [nothing, (0.5, -3.0, True, 20.0), (None, None, None, 0.0), nothing]
    assert table["take_uid"].to_list() == ["b", "d", "a", "c"]
    assert table["lag_ms"].to_list() == [-40.0, 20.0, 5.0, None]
    assert table["segments"].to_list() == [2, 1, 1, 1]
    assert table["frame_error_ms"][0] == 9.0
    assert table["clock_uncertainty_ms"][1] == 33.0
    assert table["r2"][3] == 0.125


def test_bins_are_half_open_and_the_last_one_has_no_end() -> None:
    values = [0, 1, 2, 9, 10, 11, 500, None]
    got = count_bins(
        lazy([segment_row(tokens=v) for v in values]), column="tokens", edges=(0, 2, 10)
    )
    assert got == Bins(edges=(0, 2, 10), counts=(2, 2, 3), unknown=1)
    assert sum(got.counts) + got.unknown == len(values)


def test_value_below_the_first_edge_is_refused() -> None:
    rows = lazy([segment_row(tokens=1), segment_row(tokens=4)])
    with pytest.raises(ValueError, match="tokens must be at least 3, got 1 rows below"):
        count_bins(rows, column="tokens", edges=(3, 5))


def test_spread_agrees_with_numpy() -> None:
    values = np.random.default_rng(1).integers(0, 10**7, 101)
    rows = [segment_row(frame_error_ns=int(v)) for v in values]
    got = summarise_column(
        lazy([*rows, segment_row(frame_error_ns=None)]), column="frame_error_ns", scale=1e6
    )
    assert (got.known, got.unknown) == (101, 1)
    assert got.median == pytest.approx(np.median(values) / 1e6)
    assert got.p95 == pytest.approx(np.percentile(values, 95) / 1e6)
    assert got.largest == pytest.approx(values.max() / 1e6)


def test_spread_of_a_column_without_values_is_unknown() -> None:
    got = summarise_column(lazy([segment_row(frame_error_ns=None)]), column="frame_error_ns")
    assert (got.known, got.median, got.p95, got.largest) == (0, None, None, None)


def test_examples_cover_every_label_before_a_second_of_any() -> None:
    labels = pl.Series("label", ["a"] * 50 + ["b"] * 2 + ["c"] + [None] * 30, dtype=pl.String)
    rows = choose_examples(labels, count=4, generator=np.random.default_rng(0))
    assert Counter(labels[row] for row in rows) == {"a": 1, "b": 1, "c": 1, None: 1}
    more = choose_examples(labels, count=8, generator=np.random.default_rng(0))
    assert Counter(labels[row] for row in more) == {"a": 3, "b": 2, "c": 1, None: 2} or Counter(
        labels[row] for row in more
    ) == {"a": 2, "b": 2, "c": 1, None: 3}
    assert list(more) == sorted(set(more))


def test_examples_follow_the_generator() -> None:
    labels = pl.Series("label", ["a"] * 100)
    first = choose_examples(labels, count=5, generator=np.random.default_rng(3))
    assert first == choose_examples(labels, count=5, generator=np.random.default_rng(3))
    assert first != choose_examples(labels, count=5, generator=np.random.default_rng(4))


@pytest.mark.parametrize(
    ("total", "limit", "rows"),
    [
        pytest.param(0, 5, (), id="empty"),
        pytest.param(1, 5, (0,), id="one"),
        pytest.param(3, 3, (0, 1, 2), id="all"),
        pytest.param(10, 5, (0, 2, 4, 6, 8), id="some"),
        pytest.param(10, 0, (), id="none_wanted"),
    ],
)
def test_spread_rows(total: int, limit: int, rows: tuple[int, ...]) -> None:
    assert spread_rows(total, limit=limit) == rows
