import io

import pytest

from primus_train import progress
from primus_train.progress import Pace, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_a_line_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    stream = io.StringIO()
    with Progress("fit", unit="step", stream=stream) as shown:
        for done in range(1, 13):
            now = done * 1.0
            shown.show(done, total=12, note="loss 1")
    assert stream.getvalue().splitlines() == [
        "fit: 5/12 steps loss 1",
        "fit: 10/12 steps loss 1",
        "fit: 12/12 steps loss 1",
    ]


def test_on_a_terminal_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    with Progress("fit", unit="step", stream=stream) as shown:
        shown.show(6, total=12, note="loss 1")
        shown.show(12, total=12, note="loss 2")
    assert "12/12" in stream.getvalue()
    assert "loss 2" in stream.getvalue()


def test_a_pace_counts_from_the_first_telling(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    pace = Pace()
    pace.reach(640)  # a resumed run does not begin at 0
    pace.reach(704)
    assert pace.per_second is None
    now = 102.0
    pace.reach(768)
    assert pace.per_second == 64.0
