"""SIGTERM is raised as Ctrl-C is, and the exit code is what shells make of either."""

import os
import signal
import threading
from pathlib import Path

import pytest

from flows.stopping import RunStoppedError, TerminatedError, exit_code_of, stop_signals, stop_work
from pipelines.state.stopping import StoppedError, check_stop


def test_sigterm_is_raised_once_and_then_ignored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[str] = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            seen.append("put in order")

    with pytest.raises(KeyboardInterrupt) as caught, stop_signals():
        work()
    assert seen == ["put in order"]
    assert isinstance(caught.value, TerminatedError)
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_leaves_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    inside: list[object] = []

    def work() -> None:
        with stop_signals():
            inside.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]


def test_exit_codes_are_those_of_shells() -> None:
    assert exit_code_of(KeyboardInterrupt()) == 130
    assert exit_code_of(TerminatedError()) == 143
    assert RunStoppedError("stopped", exit_code=143).exit_code == 143


def test_work_of_this_process_is_told(tmp_path: Path) -> None:
    stop_work(str(tmp_path))
    with pytest.raises(StoppedError):
        check_stop(str(tmp_path))


@pytest.mark.slow
def test_a_scheduler_that_is_gone_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.stopping._DASK_S", 0.2)
    # Nobody listens at port 9.
    stop_work(str(tmp_path), dask_address="tcp://127.0.0.1:9")
    with pytest.raises(StoppedError):
        check_stop(str(tmp_path))
