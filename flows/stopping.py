"""Stop on SIGTERM and Ctrl-C: what is under way is given up in order, then one sentence."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from schemas.errors import PrimusError

__all__ = ["RunStoppedError", "TerminatedError", "exit_code_of", "stop_signals", "stop_work"]

_DASK_S: Final = 5.0
_GIVE_UP_S: Final = 30.0
_POLL_S: Final = 0.1


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, raised where Ctrl-C would be: no handler of ordinary errors takes it for one."""


class RunStoppedError(PrimusError):
    """A run was told to stop, and has stopped."""

    def __init__(self, said: str, *, exit_code: int) -> None:
        super().__init__(said)
        self.exit_code = exit_code


def exit_code_of(stop: KeyboardInterrupt) -> int:
    """Return what shells make of the signal: 128 and its number."""
    ended = signal.SIGTERM if isinstance(stop, TerminatedError) else signal.SIGINT
    return 128 + int(ended)


@contextmanager
def stop_signals() -> Iterator[None]:
    """Let SIGTERM be raised in the main thread as ``TerminatedError``, once.

    A second one while things are put in order changes nothing: SIGKILL is there for that, and
    costs nothing but the take in work. Does nothing in other threads, where signals do not arrive.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stop_work(run: str, *, dask_address: str | None = None) -> None:
    """Tell whoever works for a run to stop; returns when workers of Dask have.

    Args:
        run: names the run.
        dask_address: of the scheduler whose workers do the work; None where threads do.
    """
    # Imported here: every command of the program begins with this module.
    from pipelines.state.stopping import request_stop

    request_stop(run)
    if dask_address is None:
        return
    import distributed

    try:
        client: Any = distributed.Client(dask_address, timeout=_DASK_S, set_as_default=False)
    except (OSError, TimeoutError):
        # Gone, and its workers with it or after it.
        return
    with client:
        # A worker that is dying meanwhile need not be told.
        client.run(request_stop, run, on_error="ignore")
        deadline = time.monotonic() + _GIVE_UP_S
        while any(client.processing().values()) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
