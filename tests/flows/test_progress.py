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
