"""Work that runs ahead in bounds, and results in order: what a pipeline of threads is made of."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Semaphore, Thread
from typing import Generic, TypeVar

__all__ = ["in_order", "read_ahead"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Made(Generic[_Item]):
    """One item, or none where the items ended, or what went wrong."""

    items: tuple[_Item, ...] = ()
    error: BaseException | None = None


@contextmanager
def read_ahead(items: Generator[_Item, None, None], *, depth: int) -> Iterator[Iterator[_Item]]:
    """Give the items of a generator that a thread of its own runs, at most ``depth`` ahead.

    Leaving the block, in whatever way, ends the thread: it finishes the item at hand and closes
    the generator.

    Args:
        items: run and closed in the other thread; what it raises is raised to the one who reads.
        depth: items made and not taken yet, the one being made among them.
    """
    made: SimpleQueue[_Made[_Item]] = SimpleQueue()
    room = Semaphore(depth)
    left = Event()

    def fill() -> None:
        try:
            with closing(items):
                while room.acquire() and not left.is_set():
                    made.put(_Made((next(items),)))
        except StopIteration:
            made.put(_Made())
        except BaseException as error:
            made.put(_Made(error=error))

    thread = Thread(target=fill, name="read-ahead", daemon=True)
    thread.start()
    try:
        yield _taken(made, room)
    finally:
        left.set()
        room.release()
        thread.join()


def _taken(made: "SimpleQueue[_Made[_Item]]", room: Semaphore) -> Iterator[_Item]:
    while True:
        one = made.get()
        if one.error is not None:
            raise one.error
        if not one.items:
            return
        room.release()
        yield one.items[0]


def in_order(
    jobs: Iterator[_Item], *, start: Callable[[_Item], Callable[[], _Result]], ahead: int
) -> Iterator[_Result]:
    """Yield the results of jobs in their order, while the next ``ahead`` jobs are under way.

    What goes wrong is raised in its turn, as if the jobs had run one after the other: which error
    it is does not depend on which thread was faster.

    Args:
        jobs: in order; an error of theirs comes after the results of those before it.
        start: starts a job, and returns what waits for its result.
        ahead: jobs started and not waited for, beyond the one that is.
    """
    waiting: deque[Callable[[], _Result]] = deque()
    fault: Exception | None = None
    while fault is None:
        try:
            job = next(jobs)
        except StopIteration:
            break
        except Exception as error:
            fault = error
        else:
            waiting.append(start(job))
            if len(waiting) > ahead:
                yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()
    if fault is not None:
        raise fault
