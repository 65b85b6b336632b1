"""Waiting for Dask with an end: workers that stay away and a scheduler that is gone are told."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from queue import Empty, SimpleQueue
from typing import Any, Final

from schemas.errors import PrimusError

__all__ = ["DaskWatch"]

# Between two looks at the scheduler while nothing comes.
_POLL_S: Final = 1.0
_AGAIN: Final = "and run again; finished takes are kept"


class DaskWatch:
    """Gives results of futures as Dask has them, and gives up where none can come any more.

    A worker that dies costs nothing here: Dask gives its tasks to another. Without any worker Dask
    itself would wait for ever.

    Args:
        client: of the cluster.
        address: of its scheduler, which a client forgets together with a lost connection.
        timeout_s: longest time without any worker.
    """

    def __init__(self, client: Any, *, address: str, timeout_s: float) -> None:  # noqa: ANN401 - no types
        self._client = client
        self._timeout_s = timeout_s
        self._address = address
        self._none_since: float | None = None

    def wait_for_a_worker(self) -> None:
        """Return as soon as there is one.

        Raises:
            PrimusError: if none comes in time, or the scheduler is gone.
        """
        while not self._look():
            time.sleep(_POLL_S / 4)

    def as_done(self, futures: Iterable[Any]) -> Iterator[Any]:
        """Yield each future once Dask is done with it, well or not, first come first served.

        Raises:
            PrimusError: if no worker comes back in time, or the scheduler is gone.
        """
        done: SimpleQueue[Any] = SimpleQueue()
        left = 0
        for future in futures:
            future.add_done_callback(done.put)
            left += 1
        while left:
            try:
                future = done.get(timeout=_POLL_S)
            except Empty:
                self._look()
                continue
            left -= 1
            yield future

    def result(self, future: Any) -> Any:  # noqa: ANN401 - whatever was computed
        """Return what a future comes to, however often Dask has to compute it.

        Raises:
            PrimusError: if no worker comes back in time, or the scheduler is gone.
            distributed.KilledWorker: if every worker that was given it died.
            Exception: what the task raised.
        """
        while True:
            try:
                return future.result(timeout=_POLL_S)
            except CancelledError as error:
                raise self._gone() from error
            except TimeoutError:
                # Nothing yet, or what the task itself raised.
                if future.status == "error":
                    return future.result()
                self._look()

    def threads(self) -> dict[str, int]:
        """Return how many tasks each worker does side by side.

        Raises:
            PrimusError: if the scheduler is gone.
        """
        if self._client.status != "running":
            raise self._gone()
        try:
            found: dict[str, int] = self._client.nthreads()
        except (AttributeError, OSError, RuntimeError, ValueError) as error:
            # What Dask raises on a connection that closed, or closes meanwhile.
            raise self._gone() from error
        return found

    def _look(self) -> int:
        """Return how many workers there are."""
        count = len(self.threads())
        now = time.monotonic()
        if count:
            self._none_since = None
        elif self._none_since is None:
            self._none_since = now
        elif now - self._none_since > self._timeout_s:
            raise PrimusError(
                f"the Dask scheduler must have a worker, it had none for {self._timeout_s:g} s "
                f"[{self._address}]; start workers, or raise execution.worker_timeout_s where "
                f"jobs wait in a queue, {_AGAIN}"
            )
        return count

    def _gone(self) -> PrimusError:
        return PrimusError(
            f"the Dask scheduler must stay until the run ends, it is gone [{self._address}]; start "
            f"it and its workers {_AGAIN}"
        )
