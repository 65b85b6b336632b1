from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.config import SegmentsConfig, TextConfig
from pipelines.segments.policies import PLAN_COLUMNS, TakePlan, count_neighbours, plan_segments
from schemas.narration import Narration
from schemas.segment import make_segment_id
from schemas.time import NS_PER_S, Interval
from tests.factories import make_config, make_narration, make_take

SPAN = Interval(0, 20 * NS_PER_S)


def plan(
    narrations: list[Narration], span: Interval = SPAN, clock: int = 0, **fields: Any
) -> TakePlan:
    config = SegmentsConfig(length_ms=5000, step_ms=20, **fields)
    return plan_segments(
        make_take(), narrations=narrations, span=span, clock_uncertainty_ns=clock, config=config
    )


def test_every_narration_is_one_row_in_time_order() -> None:
    narrations = [make_narration(10.009, "b"), make_narration(4.0, "a")]
    found = plan(narrations, clock=33)
    assert found.rows["start_ns"].to_list() == [1_500_000_000, 7_500_000_000]
    assert found.rows["end_ns"].to_list() == [6_500_000_000, 12_500_000_000]
    assert found.rows["narration_ns"].to_list() == [4_000_000_000, 10_009_000_000]
    assert found.rows["text"].to_list() == ["a", "b"]
    assert found.rows["text_raw"].to_list() == ["C a.", "C b."]
    assert found.rows["clock_uncertainty_ns"].to_list() == [33, 33]
    assert found.rows.schema == pl.Schema(PLAN_COLUMNS)
    assert (found.drops, found.planned) == ({}, 2)


@pytest.mark.parametrize(
    ("wanted", "kept", "drops"),
    [
        ({}, "abcde", {}),
        ({"subjects": "wearer"}, "abce", {"narration_other_subject": 1}),
        ({"visibility": "visible"}, "abd", {"narration_not_visible": 2}),
        (
            {"subjects": "wearer", "visibility": "visible"},
            "ab",
            {"narration_other_subject": 1, "narration_not_visible": 2},
        ),
    ],
)
def test_only_what_is_known_to_be_of_others_or_hidden_falls(
    wanted: dict[str, Any], kept: str, drops: dict[str, int]
) -> None:
    said = [
        ("a", "wearer", True),
        ("b", None, None),
        ("c", "wearer", False),
        ("d", "other", True),
        ("e", None, False),
    ]
    found = plan_segments(
        make_take(),
        narrations=[
            make_narration(3 * i + 3, text, subject=subject, visible=visible)
            for i, (text, subject, visible) in enumerate(said)
        ],
        span=SPAN,
        clock_uncertainty_ns=0,
        config=SegmentsConfig(),
        text=TextConfig(**wanted),
    )
    assert "".join(found.rows["text"]) == kept
    assert found.drops == drops
    assert found.planned == 5
    carried = {row["text"]: (row["subject"], row["visible"]) for row in found.rows.to_dicts()}
    assert carried == {text: (who, seen) for text, who, seen in said if text in kept}


def test_other_subjects_fall_under_their_own_reason_outside_the_take_too() -> None:
    found = plan_segments(
        make_take(),
        narrations=[make_narration(99, subject="other"), make_narration(99, subject="wearer")],
        span=SPAN,
        clock_uncertainty_ns=0,
        config=SegmentsConfig(),
        text=TextConfig(subjects="wearer"),
    )
    assert found.drops == {"narration_other_subject": 1, "narration_outside_take": 1}


def test_sentence_without_words_is_planned() -> None:
    found = plan([make_narration(10.0, "", text_raw="")])
    assert (found.rows["text"].to_list(), found.drops) == ([""], {})


def test_ids_follow_the_published_identity() -> None:
    row = plan([make_narration(10.0)]).rows.row(0, named=True)
    assert row["segment_id"] == make_segment_id(
        [
            "egoexo4d",
            "take-a",
            7_500_000_000,
            12_500_000_000,
            "atomic_descriptions",
            "pass-1",
            10_000_000_000,
            "C opens the door.",
            0,
        ]
    )


def test_order_of_narrations_changes_nothing() -> None:
    narrations = [make_narration(s, t) for s in (3.0, 3.0, 8.0) for t in ("x", "y", "x")]
    assert plan(narrations).rows.equals(plan(narrations[::-1]).rows)


def test_exact_repeats_get_ids_of_their_own() -> None:
    found = plan([make_narration(10.0)] * 3)
    assert found.rows["segment_id"].n_unique() == 3
    assert sorted(found.rows["duplicate_index"].to_list()) == [0, 1, 2]


def test_duplicates_are_rows_of_equal_window_source_and_sentence() -> None:
    narrations = [
        make_narration(1.0, "a"),
        make_narration(2.0, "a", text_raw="C a!", pass_uid="pass-2"),  # same window, same sentence
        make_narration(2.1, "b"),
        make_narration(2.2, "a", text_source="other"),
        make_narration(9.0, "a"),
    ]
    found = plan(narrations).rows.sort("narration_ns")
    assert found["duplicate_index"].to_list() == [0, 1, 0, 0, 0]
    dropped = plan(narrations, duplicates="drop")
    assert dropped.drops == {"duplicate_segment": 1}
    assert dropped.planned == 5
    assert sorted(dropped.rows["narration_ns"].to_list()) == [
        n.narration_ns for n in narrations if n.pass_uid == "pass-1"
    ]


def test_narrations_outside_the_take_are_dropped_and_counted() -> None:
    found = plan([make_narration(-0.1), make_narration(20.0), make_narration(19.99)])
    assert found.drops == {"narration_outside_take": 2}
    assert found.rows["start_ns"].to_list() == [15 * NS_PER_S]
    assert found.planned == 3


@pytest.mark.parametrize("policy", ["narration", "published"])
def test_take_too_short_drops_every_narration(policy: str) -> None:
    found = plan([make_narration(1.0)] * 2, span=Interval(0, 4 * NS_PER_S), policy=policy)
    assert found.drops == {"take_shorter_than_segment": 2}
    assert found.rows.is_empty()


def test_policy_published_takes_the_published_window() -> None:
    found = plan([make_narration(7.49)], policy="published")
    assert found.rows["start_ns"].to_list() == [4 * NS_PER_S]


def test_stride_needs_no_narration_and_reads_none() -> None:
    found = plan([make_narration(3.0)], policy="stride", stride_ms=4000)
    assert found.rows["start_ns"].to_list() == [0, 4 * NS_PER_S, 8 * NS_PER_S, 12 * NS_PER_S]
    for name in ("narration_ns", "text", "text_raw", "text_source", "pass_uid"):
        assert found.rows[name].null_count() == 4, name
    assert found.rows["segment_id"][0] == make_segment_id(
        ["egoexo4d", "take-a", 0, 5 * NS_PER_S, None, None, None, None, 0]
    )


def test_stride_starts_where_the_take_does() -> None:
    late = Interval(13_000_001, 11 * NS_PER_S)
    starts = plan([], late, policy="stride", stride_ms=5000).rows["start_ns"].to_list()
    assert starts == [20_000_000, 20_000_000 + 5 * NS_PER_S]


def test_last_stride_may_touch_the_end() -> None:
    found = plan([], policy="stride", stride_ms=5000)
    assert found.rows["end_ns"].to_list()[-1] == SPAN.end_ns
    one_less = plan([], Interval(0, SPAN.end_ns - 1), policy="stride", stride_ms=5000)
    assert one_less.rows.height == found.rows.height - 1


def test_take_shorter_than_a_stride_segment_counts_one_drop() -> None:
    found = plan([], Interval(0, NS_PER_S), policy="stride")
    assert found.drops == {"take_shorter_than_segment": 1}


def test_no_narration_means_nothing_planned() -> None:
    found = plan([])
    assert (found.planned, found.rows.height) == (0, 0)


def test_neighbours_by_slow_loop() -> None:
    rng = np.random.default_rng(1)
    start_ns = rng.integers(0, 40, 60)
    end_ns = start_ns + 10
    overlaps, same_window = count_neighbours(start_ns, end_ns=end_ns)
    rows = [Interval(int(s), int(e)) for s, e in zip(start_ns, end_ns, strict=True)]
    slow = [sum(a.overlap_ns(b) > 0 for b in rows) - 1 for a in rows]
    assert overlaps.tolist() == slow
    assert same_window.tolist() == [Counter(rows)[a] - 1 for a in rows]


def test_segments_that_only_touch_are_no_neighbours() -> None:
    overlaps, same_window = count_neighbours(np.array([0, 10]), end_ns=np.array([10, 20]))
    assert overlaps.tolist() == [0, 0]
    assert same_window.tolist() == [0, 0]


def test_neighbours_of_nothing() -> None:
    empty = np.zeros(0, np.int64)
    assert [len(x) for x in count_neighbours(empty, end_ns=empty)] == [0, 0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"policy": "stride", "stride_ms": 110}, "stride_ms must be a multiple of step_ms=20"),
        ({"policy": "published", "length_ms": 2500}, "needs a length_ms of whole seconds"),
        ({"policy": "published", "step_ms": 30}, "a step_ms that divides one, got 5000 and 30"),
    ],
)
def test_settings_that_leave_the_grid_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentsConfig(**fields)


@pytest.mark.parametrize("fields", [{"step_ms": 30}, {"length_ms": 1050}])
def test_windows_must_be_slices_of_the_imu_grid(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be multiples of the imu step of 100000000 ns"):
        make_config(tmp_path, segments={"length_ms": 1000, "step_ms": 100, **fields})
