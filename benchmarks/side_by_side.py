"""Time several ways to the same answer side by side, and report them alike.

The ways take turns, in another order each round, so that a slow spell of the machine meets all of
them. A round before the first is not counted: caches and threads are warm for everyone. What is
reported is the median.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

__all__ = ["Case", "make_parser", "measure", "report"]

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison on one set of data.

    Attributes:
        name: of the case, unique in its benchmark.
        unit: of the times, such as ``ms_per_window``.
        runs: way: its counted times in ``unit``, in the order they were taken.
        agreement: what shows that the ways give the same answer.
    """

    name: str
    unit: str
    runs: dict[str, list[float]]
    agreement: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return medians, runs, and every way's median over that of ``ours``."""
        medians = {way: statistics.median(times) for way, times in self.runs.items()}
        return {
            "name": self.name,
            "unit": self.unit,
            "median": medians,
            "over_ours": {way: medians[way] / medians["ours"] for way in medians},
            "runs": self.runs,
            "agreement": self.agreement,
        }


def measure(
    ways: Mapping[str, Callable[[], Answer]], *, repeats: int, per: float
) -> tuple[dict[str, list[float]], dict[str, Answer]]:
    """Run every way ``repeats`` times in turn, after one round that is not counted.

    Args:
        ways: name: what to run; it returns its answer.
        repeats: counted rounds.
        per: units of work in one run.

    Returns:
        Each way's times, ms per unit of work, and its answer in the uncounted round.

    Raises:
        ValueError: if there is nothing to count.
    """
    if repeats < 1 or per <= 0:
        raise ValueError(f"repeats and per must be positive, got {repeats} and {per}")
    answers = {name: run() for name, run in ways.items()}
    runs: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for round_number in range(repeats):
        first = round_number % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter_ns()
            ways[name]()
            runs[name].append((time.perf_counter_ns() - start) / 1e6 / per)
    return runs, answers


def make_parser(description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """Return a parser with the options all benchmarks share: ``--quick`` and ``--repeats``."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tiny run: it works, it says little")
    parser.add_argument(
        "--repeats", type=int, default=repeats, help="counted rounds (default %(default)s)"
    )
    return parser


def report(
    benchmark: str, *, cases: list[Case], quick: bool, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Print a table to stderr and one JSON object to stdout, and return the object."""
    reported = [case.as_json() for case in cases]
    result = {
        "benchmark": benchmark,
        "quick": quick,
        "settings": dict(settings),
        "machine": {
            "processor": platform.machine(),
            "cpus": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "python": platform.python_version(),
        },
        "cases": reported,
    }
    for case in reported:
        print(f"{benchmark}, {case['name']} [{case['unit']}]", file=sys.stderr)
        for way, median in case["median"].items():
            times = case["over_ours"][way]
            print(f"  {way:<14}{median:>12.3f}  {times:>7.2f} x ours", file=sys.stderr)
        for name, value in case["agreement"].items():
            print(f"    {name}: {value:.4g}", file=sys.stderr)
    print(json.dumps(result))
    return result
