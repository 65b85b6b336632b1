"""Progress a person can follow: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Lock
from types import TracebackType
from typing import NoReturn

from tqdm import tqdm

__all__ = ["Progress", "stage_progress"]

_LINE_EVERY_S = 5.0


class Progress:
    """Counts units of long work on stderr; a context manager.

    Args:
        what: named in front of the bar.
        total: units to come.
        unit: plural name of a unit.
    """

    def __init__(self, what: str, *, total: int, unit: str) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._done = 0
        self._began = self._last_line = self._last_done = time.monotonic()
        # Told of what is done by one thread, and of time that passes by another.
        self._lock = Lock()
        self._bar: tqdm[NoReturn] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, desc=what, unit=f" {unit}", leave=False)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def to(self, done: int) -> None:
        """Report that ``done`` units are finished in all."""
        with self._lock:
            if self._bar is not None:
                self._bar.update(done - self._done)
            now = time.monotonic()
            self._done, self._last_done = done, now
            due = now - self._last_line >= _LINE_EVERY_S
            if self._bar is None and (due or (done == self._total and now - self._began > 2)):
                elapsed = now - self._began
                left = elapsed / done * (self._total - done) if done else float("nan")
                self._say(now, f"about {left:.0f} s left")

    def still(self) -> None:
        """Report that the work goes on, from whichever thread, while no unit ends."""
        with self._lock:
            if self._bar is not None:
                self._bar.refresh()
                return
            now = time.monotonic()
            if now - self._last_line >= _LINE_EVERY_S:
                self._say(now, f"{now - self._last_done:.0f} s since the last one ended")

    def _say(self, now: float, more: str) -> None:
        self._last_line = now
        sys.stderr.write(
            f"{self._what}: {self._done}/{self._total} {self._unit}, "
            f"{now - self._began:.0f} s gone, {more}\n"
        )
        sys.stderr.flush()


@contextmanager
def stage_progress(units: Mapping[str, str]) -> Iterator[Callable[[str, int, int], None]]:
    """Yield what follows work of several stages: told a stage, how much is done, and of how much.

    Args:
        units: plural name of each stage's unit.
    """
    bars: dict[str, Progress] = {}
    with ExitStack() as stack:

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = stack.enter_context(Progress(stage, total=total, unit=units[stage]))
            bars[stage].to(done)

        yield tell
