"""Small things done every few seconds while the driver waits for something long."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

__all__ = ["Heartbeat"]

_LOOK_EVERY_S: Final = 1.0


class Heartbeat:
    """Calls functions from a thread of its own, each every so often; a context manager.

    One that raises is called no more, and its error is raised on leaving, unless the block ends in
    an error of its own.

    Args:
        beats: each function with the seconds between two calls.
    """

    def __init__(self, *beats: tuple[Callable[[], None], float]) -> None:
        self._beats = list(beats)
        self._over = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _beat(self) -> None:
        due = [time.monotonic() + every for _, every in self._beats]
        wait = min(_LOOK_EVERY_S, *(every for _, every in self._beats))
        while not self._over.wait(wait):
            for i, (beat, every) in enumerate(self._beats):
                if time.monotonic() < due[i]:
                    continue
                due[i] = time.monotonic() + every
                try:
                    beat()
                except Exception as error:
                    self._error = error
                    return
