"""One study at a time in a folder, its workers included."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import UsageError

__all__ = ["sole_study"]

_WAIT_S: Final = 30.0
_POLL_S: Final = 0.2


@contextmanager
def sole_study(
    out: Path, *, wait_s: float = _WAIT_S, on_wait: Callable[[], object] | None = None
) -> Iterator[tuple[int, ...]]:
    """Hold a study's folder alone; the system lets go of it when the last holder has ended.

    Yields:
        File descriptors for the study's own processes to inherit: they hold the folder too, so
        that a study which was killed is not begun again while its workers still end.

    Raises:
        UsageError: if another study holds it for longer than ``wait_s`` seconds.
    """
    out.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield ()
        return
    import fcntl

    until = time.monotonic() + wait_s
    waited = False
    with (out / ".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise UsageError(
                        f"one study at a time may work in a folder, another still does: wait for "
                        f"it, or give another --out [out={out}]"
                    ) from error
                if not waited and on_wait is not None:
                    on_wait()
                waited = True
                time.sleep(_POLL_S)
                continue
            except OSError:  # a file system without locks
                pass
            break
        yield (file.fileno(),)
