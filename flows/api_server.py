"""The process of Prefect's temporary server: it ends when the run that started it does.

A driver that is killed cannot stop its server. Standard input is a pipe that the driver alone
holds open: the system closes it, whatever became of the driver.
"""

import os
import signal
import sys
import threading
import time
from typing import Final

__all__ = ["main"]

_APP: Final = "prefect.server.api.server:create_app"
_STOP_S: Final = 5.0


def main() -> None:
    """Serve with uvicorn, whose options are the command's, until told to stop or left alone."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    import uvicorn

    uvicorn.main(["--factory", _APP, *sys.argv[1:]])


def _end_with_parent() -> None:
    # Not by sys.stdin: a thread that still reads from that is fatal to an interpreter that ends.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_STOP_S)
    os._exit(1)


if __name__ == "__main__":
    main()
