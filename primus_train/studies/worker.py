"""A process that does a study's pieces of work, one order after the other.

Orders come as lines of JSON on its standard input, notes and answers go as lines of JSON to its
standard output. When the input ends, whoever gave the orders is gone: a run that is in work is then
stopped after its step, its checkpoint written, and anything else is dropped.
"""

import json
import os
import queue
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

from primus_train.stopping import RunStoppedError
from primus_train.studies.work import attempt

__all__ = ["main"]


def _listen(orders: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    # Not sys.stdin, which the interpreter would want back from this thread at its end.
    with open(0, "rb", closefd=False) as source:
        for line in source:
            orders.put(json.loads(line))
    orders.put(None)
    # To this process alone: where it waits for an order this ends it, a run in work it stops.
    os.kill(os.getpid(), signal.SIGTERM)


def _write(message: dict[str, Any], *, to: int) -> None:
    data = json.dumps(message).encode() + b"\n"
    # Where nobody reads any more the work in hand is still to be ended as it should.
    with suppress(BrokenPipeError):
        while data:
            data = data[os.write(to, data) :]


def main() -> int:
    """Do what is ordered until there are no more orders."""
    # Whatever a library prints must not come between the answers.
    out = os.dup(1)
    os.dup2(2, 1)
    orders: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    while (order := orders.get()) is not None:
        device = order.pop("device")
        try:
            answer = attempt(order, device=device, note=lambda text: _write({"note": text}, to=out))
        except RunStoppedError as error:
            return error.exit_code
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        _write(answer, to=out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
