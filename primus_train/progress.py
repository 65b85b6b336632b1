"""Progress for people: a bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import time
from types import TracebackType
from typing import Final, Never, TextIO

from tqdm import tqdm

__all__ = ["Pace", "Progress"]

_LINE_EVERY_S: Final = 5.0
_MEGABYTE: Final = 10**6


class Pace:
    """How fast a count has grown since it was first told.

    Attributes:
        per_second: None until there is a second telling.
    """

    def __init__(self) -> None:
        self.per_second: float | None = None
        self._first: tuple[float, float] | None = None

    def reach(self, count: float) -> None:
        """Say how far the count is."""
        now = time.monotonic()
        if self._first is None:
            # What came before was done in another run, or in getting ready.
            self._first = (now, count)
        elif now > self._first[0]:
            self.per_second = (count - self._first[1]) / (now - self._first[0])


class Progress:
    """Show how far long work is, on stderr.

    Args:
        title: what is being done.
        unit: what is counted.
        stream: where to; stderr if None.
    """

    def __init__(self, title: str, *, unit: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._unit = unit
        self._stream = stream or sys.stderr
        self._bar: tqdm[Never] | None = None
        self._last_line = time.monotonic()

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

    def show_bytes(self, done: int, total: int) -> None:
        """Say in megabytes that ``done`` of ``total`` bytes are done; all only at the end."""
        whole = -(-total // _MEGABYTE)
        self.show(whole if done == total else done // _MEGABYTE, total=whole)

    def show(self, done: int, *, total: int, note: str = "") -> None:
        """Say that ``done`` of ``total`` is done."""
        if self._stream.isatty():
            if self._bar is None:
                self._bar = tqdm(desc=self._title, unit=self._unit, file=self._stream)
                self._bar.reset(total)
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if done == total or now - self._last_line >= _LINE_EVERY_S:
            self._last_line = now
            line = f"{self._title}: {done}/{total} {self._unit}s {note}".rstrip()
            self._stream.write(line + "\n")
            self._stream.flush()
