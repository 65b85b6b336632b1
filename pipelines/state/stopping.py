"""How the takes of a run are told to stop: between two batches of a part, in whichever thread."""

import time
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Final

import pyarrow as pa

from pipelines.parts.store import PartKind, PartStore
from pipelines.storage.places import Place
from schemas.errors import PrimusError

__all__ = ["StoppableParts", "StoppedError", "check_stop", "pause", "request_stop"]

_LOOK_EVERY_S: Final = 0.2
_LOCK: Final = Lock()
# By run: a worker that outlives this one goes on with the next.
_STOPPED: Final[set[str]] = set()


class StoppedError(PrimusError):
    """The run was told to stop; what was under way is given up, what was finished is kept."""


def request_stop(run: str) -> None:
    """Let whatever this process does for ``run`` end at the next opportunity."""
    with _LOCK:
        _STOPPED.add(run)


def check_stop(run: str) -> None:
    """Return if ``run`` may go on.

    Raises:
        StoppedError: if it was told to stop.
    """
    with _LOCK:
        stopped = run in _STOPPED
    if stopped:
        raise StoppedError("the run was told to stop")


def pause(seconds: float, *, run: str) -> None:
    """Wait, unless ``run`` is told to stop.

    Raises:
        StoppedError: if it was.
    """
    until = time.monotonic() + seconds
    check_stop(run)
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(_LOOK_EVERY_S, left))
        check_stop(run)


class StoppableParts(PartStore):
    """Parts whose writing ends when their run is told to stop; nothing of them stays behind."""

    def __init__(self, root: Place, *, run: str) -> None:
        super().__init__(root)
        self._run = run

    def write(
        self,
        kind: PartKind,
        key: str,
        *,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        metadata: dict[str, str] | None = None,
    ) -> Place:
        """Write a part as ``PartStore`` does.

        Raises:
            StoppedError: if the run is told to stop meanwhile.
        """
        watched = self._watched(batches)
        return super().write(kind, key, schema=schema, batches=watched, metadata=metadata)

    def _watched(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            check_stop(self._run)
            yield batch
