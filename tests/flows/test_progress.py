"""Where there is no terminal, progress is a plain line every few seconds."""

import pytest

from flows import progress as module
from flows.progress import Progress, stage_progress


def test_lines_say_how_far_and_how_long(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 6.0, 12.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with Progress("takes", total=4, unit="takes") as progress:
        progress.to(1)
        progress.to(2)
        progress.to(4)
    assert capsys.readouterr().err.splitlines() == [
        "takes: 2/4 takes, 6 s gone, about 6 s left",
        "takes: 4/4 takes, 12 s gone, about 0 s left",
    ]


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("takes", total=1, unit="takes") as progress:
        progress.to(1)
    assert capsys.readouterr().err == ""


def test_each_stage_has_lines_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 6.0, 10.0, 16.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with stage_progress({"assemble": "takes", "arrays": "segments"}) as tell:
        tell("assemble", 2, 4)
        tell("arrays", 50, 200)
    assert capsys.readouterr().err.splitlines() == [
        "assemble: 2/4 takes, 6 s gone, about 6 s left",
        "arrays: 50/200 segments, 6 s gone, about 18 s left",
    ]


def test_a_long_take_still_has_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 3.0, 46.0, 47.0, 51.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with Progress("takes", total=12, unit="takes") as progress:
        progress.to(3)
        for _ in range(4):
            progress.still()
    assert capsys.readouterr().err.splitlines() == [
        "takes: 3/12 takes, 46 s gone, 45 s since the last one ended",
        "takes: 3/12 takes, 51 s gone, 50 s since the last one ended",
    ]
