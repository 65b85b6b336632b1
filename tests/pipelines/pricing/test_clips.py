"""Stretches of takes: what they hold, and that they are prepared like takes."""

from pathlib import Path

import pytest

from pipelines.align.clock import TakeClock
from pipelines.config import PrepConfig
from pipelines.pricing.clips import Clip, cut_clip
from schemas.errors import TakeError
from schemas.narration import Narration
from schemas.time import NS_PER_S, Interval
from tests.factories import make_config, make_narration, make_take


def cut(config: PrepConfig, seconds: int, *narrations: Narration, length: int = 60) -> Clip:
    return cut_clip(
        make_take(),
        clock=TakeClock.identity(Interval(0, length * NS_PER_S)),
        narrations=narrations,
        length_ns=seconds * NS_PER_S,
        config=config,
    )


def test_a_clip_has_the_sentences_in_it(tmp_path: Path) -> None:
    said = tuple(make_narration(t, f"at {t}") for t in (1.0, 9.9, 10.0, 30.0))
    clip = cut(make_config(tmp_path), 10, *said)
    assert clip.narrations == said[:2]
    assert clip.plan.rows.height == 2
    assert clip.clock.span == Interval(0, 10 * NS_PER_S)
    assert clip.seconds == 10


def test_a_short_take_is_its_own_clip(tmp_path: Path) -> None:
    clip = cut(make_config(tmp_path), 100, make_narration(1.0), length=20)
    assert clip.clock.span == Interval(0, 20 * NS_PER_S)


def test_where_nobody_speaks_the_first_sentence_is_moved(tmp_path: Path) -> None:
    clip = cut(make_config(tmp_path), 10, make_narration(40.0, "late"), make_narration(41.0))
    (only,) = clip.narrations
    assert (only.text, only.narration_ns) == ("late", 5 * NS_PER_S)
    assert clip.plan.rows.height == 1


def test_strides_need_no_sentence(tmp_path: Path) -> None:
    config = make_config(tmp_path, segments={"policy": "stride", "require": ["imu"]})
    clip = cut(config, 10)
    assert clip.narrations == ()
    assert clip.plan.rows.height == 10


def test_a_stretch_without_segments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TakeError, match="nothing_planned: the first 10 s must hold a segment"):
        cut(make_config(tmp_path), 10)
