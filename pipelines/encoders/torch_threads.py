"""One torch thread a call: sums of floats depend on how many threads share them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["one_torch_thread", "use_one_torch_thread"]


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keep torch to one thread in the block, called from this thread; then as it was before."""
    before = torch.get_num_threads()
    use_one_torch_thread()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def use_one_torch_thread() -> None:
    """Keep torch to one thread, called from this thread, from now on.

    OpenMP's setting belongs to the thread that makes it, so each thread that calls torch needs it.
    """
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
