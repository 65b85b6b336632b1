"""Keeps the AV1 encoder, SVT-AV1, from changing the process that uses it.

Run by root, it makes the calling thread a real-time one, for good: whatever that process and its
children compute afterwards, threads that wait by spinning take every core from everyone else.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["tamed_svt"]


@contextmanager
def tamed_svt() -> Iterator[None]:
    """Let the block encode AV1; scheduling and environment are afterwards as they were.

    Inside, the encoder writes nothing but errors to stderr.
    """
    before = os.environ.get("SVT_LOG")
    os.environ["SVT_LOG"] = "1"
    # The encoder may mean its caller or the process, which is the process's main thread.
    threads = {0, os.getpid()} if hasattr(os, "sched_getscheduler") else set()
    policies = {t: (os.sched_getscheduler(t), os.sched_getparam(t)) for t in threads}
    try:
        yield
    finally:
        for thread, (policy, param) in policies.items():
            os.sched_setscheduler(thread, policy, param)
        if before is None:
            del os.environ["SVT_LOG"]
        else:
            os.environ["SVT_LOG"] = before
