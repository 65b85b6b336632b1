"""Running ahead keeps its bounds, its order and its errors, and leaves no thread behind."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipelines.parts.read_ahead import in_order, read_ahead


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


class Source:
    """Numbers from zero, counted as they are made; may fail at one, and knows if it was closed."""

    def __init__(self, count: int, *, fails_at: int | None = None) -> None:
        self.made = 0
        self.closed_by = ""
        self.run_by = ""
        self._count, self._fails_at = count, fails_at

    def items(self) -> Generator[int, None, None]:
        try:
            self.run_by = threading.current_thread().name
            for i in range(self._count):
                if i == self._fails_at:
                    raise KeyError(f"item {i}")
                self.made += 1
                yield i
        finally:
            self.closed_by = threading.current_thread().name


def settled(value: Callable[[], int]) -> int:
    """Return a number once it has stayed the same for 50 ms."""
    last, since = value(), time.monotonic()
    while time.monotonic() - since < 0.05:
        time.sleep(0.005)
        if value() != last:
            last, since = value(), time.monotonic()
    return last


@pytest.mark.parametrize("count", [0, 1, 2, 20])
@pytest.mark.parametrize("depth", [1, 2, 30])
def test_all_items_come_in_order(count: int, depth: int) -> None:
    source = Source(count)
    with read_ahead(source.items(), depth=depth) as ahead:
        assert list(ahead) == list(range(count))
    assert source.run_by == source.closed_by == "read-ahead"


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_is_made_than_may_wait(depth: int) -> None:
    source = Source(100)
    with read_ahead(source.items(), depth=depth) as ahead:
        assert settled(lambda: source.made) == depth
        for taken in range(1, 6):
            next(ahead)
            assert settled(lambda: source.made) == taken + depth
    assert source.made <= 5 + depth
    assert source.closed_by == "read-ahead"


def test_an_error_comes_after_the_items_before_it() -> None:
    with read_ahead(Source(9, fails_at=2).items(), depth=5) as ahead:
        assert [next(ahead), next(ahead)] == [0, 1]
        with pytest.raises(KeyError, match="item 2"):
            next(ahead)


@pytest.mark.parametrize("error", [ValueError("reader"), KeyboardInterrupt()])
def test_whoever_reads_may_fail_and_the_thread_ends(error: BaseException) -> None:
    source = Source(100)

    def read() -> None:
        with read_ahead(source.items(), depth=2) as ahead:
            assert next(ahead) == 0
            raise error

    with pytest.raises(type(error)):
        read()
    assert source.closed_by == "read-ahead"


@pytest.mark.parametrize("ahead", [0, 1, 4, 50])
def test_results_come_in_order_whoever_is_faster(ahead: int) -> None:
    running: list[int] = []
    most = 0

    def work(i: int) -> int:
        nonlocal most
        most = max(most, len(running))
        time.sleep(0.004 if i % 3 == 0 else 0)
        return i * i

    with ThreadPoolExecutor(3) as pool:

        def start(i: int) -> Callable[[], int]:
            running.append(i)
            future = pool.submit(work, i)

            def wait() -> int:
                result = future.result()
                running.remove(i)
                return result

            return wait

        assert list(in_order(iter(range(20)), start=start, ahead=ahead)) == [
            i * i for i in range(20)
        ]
    assert most <= ahead + 1


@pytest.mark.parametrize(("bad", "ends"), [(3, 5), (4, 4), (9, 2)])
def test_the_first_error_in_order_is_the_one_that_is_raised(bad: int, ends: int) -> None:
    def work(i: int) -> int:
        # The earlier one takes longer: order decides, not speed.
        time.sleep(0.02 if i == bad else 0)
        if i >= bad:
            raise ValueError(f"job {i}")
        return i

    got: list[int] = []
    expected = f"job {bad}" if bad < ends else f"item {ends}"
    with ThreadPoolExecutor(3) as pool:
        results = in_order(
            Source(20, fails_at=ends).items(),
            start=lambda i: pool.submit(work, i).result,
            ahead=4,
        )
        with pytest.raises((ValueError, KeyError), match=expected):
            got.extend(results)
    assert got == list(range(min(bad, ends)))
