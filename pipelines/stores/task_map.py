"""Who carries out the pieces of publishing: plain data in, plain data out, in any order."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

__all__ = ["Job", "TaskMap", "run_here"]

Job = dict[str, Any]
"""JSON values alone: paths, keys, ranges of rows; never an array."""

TaskMap = Callable[[Callable[[Job], Job], Sequence[Job]], Iterable[Job]]
"""Calls a function of a module with each job and gives the results in any order.

A worker may be another process or machine that sees the same folders. What a function raises must
be raised by the iteration: then nothing is published.
"""


def run_here(function: Callable[[Job], Job], jobs: Sequence[Job]) -> Iterator[Job]:
    """Do the jobs in turn, in this process."""
    return map(function, jobs)
