"""A run seen from elsewhere: on record from its first take to its end, and alive in between."""

import time
from threading import Lock
from types import TracebackType
from typing import Final

from flows.heartbeat import Heartbeat
from flows.stopping import RunStoppedError
from pipelines.config import PrepConfig
from pipelines.state.run_state import RunState, write_run_state
from schemas.errors import StorageError

__all__ = ["RunOnRecord"]

_ALIVE_EVERY_S: Final = 15.0


class RunOnRecord:
    """Keeps the record of a run; a context manager that writes at last how the run ended.

    Args:
        config: of the run.
        run: names it.
        takes: of the dataset.
        workers: side by side.
    """

    def __init__(self, config: PrepConfig, *, run: str, takes: int, workers: int) -> None:
        self._config = config
        now_ns = time.time_ns()
        self._state = RunState(
            run=run,
            executor=config.execution.executor,
            workers=workers,
            takes=takes,
            began_ns=now_ns,
            seen_ns=now_ns,
        )
        self._lock = Lock()
        self._alive = Heartbeat((self._write, _ALIVE_EVERY_S))

    def __enter__(self) -> "RunOnRecord":
        self._write()
        self._alive.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._alive.__exit__(kind, error, trace)
        if error is not None:
            ended = "stopped" if isinstance(error, RunStoppedError) else "failed"
            self._state = self._state.model_copy(update={"ended": ended, "said": str(error)})
        try:
            self._write()
        except StorageError:
            # The run's own error says more, and the record grows old by itself.
            if error is None:
                raise

    def published(self, version: str) -> None:
        """Tell which version the run published."""
        with self._lock:
            self._state = self._state.model_copy(update={"ended": "published", "version": version})

    def _write(self) -> None:
        with self._lock:
            self._state = write_run_state(self._config, self._state)
