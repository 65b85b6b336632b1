import numpy as np
import polars as pl
import pytest

from pipelines.segments.text_quality import measure_text_quality
from schemas.narration import Narration
from schemas.time import NS_PER_S, Interval, seconds_to_ns
from tests.factories import make_narration


def measure(
    narrations: list[Narration], *windows: tuple[float, float], take: tuple[float, float]
) -> pl.DataFrame:
    return measure_text_quality(
        narrations,
        start_ns=np.array([seconds_to_ns(a) for a, _ in windows], np.int64),
        end_ns=np.array([seconds_to_ns(b) for _, b in windows], np.int64),
        span=Interval(seconds_to_ns(take[0]), seconds_to_ns(take[1])),
    )


def test_columns_by_slow_loop() -> None:
    rng = np.random.default_rng(0)
    words = ["opens", "closes", "walks", ""]
    narrations = [
        make_narration(float(rng.uniform(-20, 220)), words[int(rng.integers(4))]) for _ in range(80)
    ]
    starts = [i * 7.5 for i in range(26)]
    found = measure(narrations, *((s, s + 5) for s in starts), take=(0, 200))
    for start, row in zip(starts, found.iter_rows(named=True), strict=True):
        inside = [n for n in narrations if 0 <= n.narration_ns < 200 * NS_PER_S]
        low, high = max(start + 2.5 - 30, 0), min(start + 2.5 + 30, 200)
        near = [n for n in inside if low * NS_PER_S <= n.narration_ns < high * NS_PER_S]
        assert row["narrations_per_minute"] == pytest.approx(len(near) / (high - low) * 60)
        here = {
            n.text
            for n in inside
            if start * NS_PER_S <= n.narration_ns < (start + 5) * NS_PER_S and n.text
        }
        assert row["sentences_in_window"] == len(here)
        assert row["ambiguous"] == (len(here) > 1)
    assert set(found["ambiguous"]) == {True, False}


def test_density_is_over_what_lies_in_the_take() -> None:
    narrations = [make_narration(s) for s in (1, 2, 3, 39)]
    found = measure(narrations, (0, 5), (20, 25), (35, 40), take=(0, 40))
    # 32.5 s, 40 s and 32.5 s of the minute around each middle are in the take.
    assert found["narrations_per_minute"].to_list() == pytest.approx(
        [3 / 32.5 * 60, 4 / 40 * 60, 1 / 32.5 * 60]
    )


def test_bounds_are_half_open() -> None:
    narrations = [make_narration(10, "a"), make_narration(15, "b"), make_narration(60, "c")]
    found = measure(narrations, (10, 15), (5, 10), (27.5, 32.5), take=(0, 100))
    assert found["sentences_in_window"].to_list() == [1, 0, 0]
    # The minute around 30 s is [0, 60): the narration at 60 s lies just outside.
    assert found["narrations_per_minute"].to_list()[2] == 2


def test_one_sentence_said_twice_is_not_ambiguous() -> None:
    narrations = [make_narration(1, "a"), make_narration(2, "a", pass_uid="pass-2")]
    found = measure(narrations, (0, 5), take=(0, 5))
    assert found.row(0, named=True) == {
        "narrations_per_minute": 24.0,
        "sentences_in_window": 1,
        "ambiguous": False,
    }


def test_take_without_narrations_is_not_told() -> None:
    found = measure([], (0, 5), (5, 10), take=(0, 10))
    assert found.dtypes == [pl.Float64, pl.Int32, pl.Boolean]
    assert found.null_count().row(0) == (2, 2, 2)


def test_no_segment_has_no_row() -> None:
    assert measure([make_narration(1)], take=(0, 10)).height == 0
    assert measure([], take=(0, 10)).height == 0
