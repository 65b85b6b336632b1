import os
import signal
import threading

import pytest

from primus_train.stopping import RunStoppedError, is_worn_out, stop_requests


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_once_and_interrupts_nothing(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stop_requests() as stop:
        assert stop.signal == 0
        os.kill(os.getpid(), number)
        assert stop.signal == number
        # A second one, of either kind, changes nothing.
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.signal == number
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_the_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), stop_requests():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) == before


def test_other_threads_leave_signals_alone() -> None:
    seen = []

    def work() -> None:
        with stop_requests() as stop:
            seen.append((stop.signal, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(0, before)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_exit_code_is_the_shells(number: int, code: int) -> None:
    assert RunStoppedError("stopped", number=number).exit_code == code


@pytest.mark.parametrize(
    ("best_epoch", "epochs_done", "patience", "worn_out"),
    [
        (0, 1, 1, False),
        (0, 2, 1, True),
        (3, 5, 2, False),
        (3, 6, 2, True),
        (3, 6, None, False),
        (None, 9, 1, False),
    ],
)
def test_patience_counts_the_epochs_since_the_best(
    best_epoch: int | None, epochs_done: int, patience: int | None, *, worn_out: bool
) -> None:
    best = None if best_epoch is None else {"metric": "mrr", "value": 1.0, "epoch": best_epoch}
    assert is_worn_out(best, epochs_done=epochs_done, patience=patience) is worn_out
