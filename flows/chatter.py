"""Keep what native libraries write to stderr out of a person's terminal, and keep it readable."""

import os
import sys
from pathlib import Path

__all__ = ["send_native_stderr_to"]


def send_native_stderr_to(path: Path) -> None:
    """Point file descriptor 2 at ``path``; Python's own ``sys.stderr`` keeps its place.

    The VRS library writes ten lines for every file it opens and has no switch against it. Call
    once, before other threads start; child processes inherit it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stderr.flush()
    shown = os.dup(2)
    with path.open("ab", buffering=0) as log:
        os.dup2(log.fileno(), 2)
    sys.stderr = os.fdopen(shown, "w", buffering=1, encoding=sys.stderr.encoding)
