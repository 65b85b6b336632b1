"""Beats come while the driver waits, and an error of one is not lost."""

import time

import pytest

from flows.heartbeat import Heartbeat


def test_beats_come_until_the_block_is_left() -> None:
    beats: list[int] = []
    with Heartbeat((lambda: beats.append(1), 0.01)):
        deadline = time.monotonic() + 10
        while len(beats) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    count = len(beats)
    assert count >= 3
    time.sleep(0.05)
    assert len(beats) == count


def test_each_has_a_time_of_its_own() -> None:
    often: list[int] = []
    rarely: list[int] = []
    with Heartbeat((lambda: often.append(1), 0.01), (lambda: rarely.append(1), 60.0)):
        deadline = time.monotonic() + 10
        while not often and time.monotonic() < deadline:
            time.sleep(0.01)
    assert often
    assert rarely == []


def test_an_error_of_a_beat_is_raised_on_leaving() -> None:
    def fail() -> None:
        calls.append(1)
        raise OSError("no room")

    def wait() -> None:
        deadline = time.monotonic() + 10
        while not calls and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)

    calls: list[int] = []
    with pytest.raises(OSError, match="no room"), Heartbeat((fail, 0.01)):
        wait()
    assert len(calls) == 1


def test_the_blocks_own_error_goes_first() -> None:
    def fail() -> None:
        raise OSError("no room")

    def work() -> None:
        time.sleep(0.05)
        raise ValueError("own")

    with pytest.raises(ValueError, match="own"), Heartbeat((fail, 0.001)):
        work()
