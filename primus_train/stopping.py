"""When a run ends before its last step: told to by a signal, or no longer getting better."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from schemas.errors import PrimusError

__all__ = ["RunStoppedError", "StopRequest", "is_worn_out", "stop_requests"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether somebody asked the run to stop.

    Attributes:
        signal: number of the first signal that asked; 0 for none.
    """

    def __init__(self) -> None:
        self.signal = 0


class RunStoppedError(PrimusError):
    """A run was told to stop and has stopped, its state written."""

    def __init__(self, said: str, *, number: int) -> None:
        super().__init__(said)
        # What shells make of a signal.
        self.exit_code = 128 + number


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Let SIGTERM and Ctrl-C ask instead of interrupting, so that a step is never cut in two.

    A second signal changes nothing: launchers repeat a terminal's Ctrl-C, and the checkpoint that
    is being written must not pay for that. SIGKILL is there for the impatient. Does nothing outside
    the main thread, where signals do not arrive.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def ask(number: int, _frame: FrameType | None) -> None:
        request.signal = request.signal or number

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_worn_out(best: dict[str, Any] | None, *, epochs_done: int, patience: int | None) -> bool:
    """Whether the last ``patience`` epochs, of those done, brought no better weights."""
    if patience is None or best is None:
        return False
    return epochs_done - 1 - int(best["epoch"]) >= patience
