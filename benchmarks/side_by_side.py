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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

__all__ = [
    "Case",
    "Measured",
    "make_parser",
    "measure",
    "measure_cpu",
    "median_of",
    "ratios",
    "report",
]

Answer = TypeVar("Answer")
Runs = dict[str, list[float]]
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One comparison on one set of data.

    Attributes:
        name: of the case, unique in its benchmark.
        unit: of what is compared, such as ``ms_per_window`` or ``mb``.
        runs: way: its counted figures in ``unit``, in the order they were taken. Where one way is
            named ``ours``, the others are also told as multiples of it.
        agreement: what shows that the ways give the same answer, and what follows from the times.
        cpu: way: processor time of the same runs over all threads, in ``unit``; may be empty.
    """

    name: str
    unit: str
    runs: Runs
    agreement: dict[str, float]
    cpu: Runs = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return medians, runs, and every way's median over that of ``ours`` if there is one."""
        medians = {way: statistics.median(figures) for way, figures in self.runs.items()}
        ours = medians.get("ours")
        return {
            "name": self.name,
            "unit": self.unit,
            "median": medians,
            "over_ours": {} if ours is None else {way: medians[way] / ours for way in medians},
            "runs": self.runs,
            "cpu_median": {way: statistics.median(figures) for way, figures in self.cpu.items()},
            "agreement": self.agreement,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured(Generic[Answer]):
    """What came of running the ways.

    Attributes:
        wall: way: ms per unit of work, as a clock on the wall has it.
        cpu: way: ms of processor per unit of work, over all threads of this process.
        answers: way: what it returned first.
    """

    wall: Runs
    cpu: Runs
    answers: dict[str, Answer]


def measure(
    ways: Mapping[str, Callable[[], Answer]], *, repeats: int, per: float
) -> tuple[Runs, dict[str, Answer]]:
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
    measured = measure_cpu(ways, repeats=repeats, per=per)
    return measured.wall, measured.answers


def measure_cpu(
    ways: Mapping[str, Callable[[], Answer]],
    *,
    repeats: int,
    per: float | Mapping[str, float],
    rehearse: bool = True,
) -> Measured[Answer]:
    """Run every way ``repeats`` times in turn, and take the time of clock and processor.

    Args:
        ways: name: what to run; it returns its answer.
        repeats: counted rounds.
        per: units of work in one run, of every way or by way.
        rehearse: whether a round is run before that is not counted; runs of many seconds may do
            without.

    Raises:
        ValueError: if there is nothing to count.
    """
    units = dict(per) if isinstance(per, Mapping) else dict.fromkeys(ways, per)
    if repeats < 1 or min(units.values()) <= 0:
        raise ValueError(f"repeats and per must be positive, got {repeats} and {per}")
    answers: dict[str, Answer] = {}
    if rehearse:
        answers |= {name: run() for name, run in ways.items()}
    wall: Runs = {name: [] for name in ways}
    cpu: Runs = {name: [] for name in ways}
    names = list(ways)
    for round_number in range(repeats):
        first = round_number % len(names)
        for name in names[first:] + names[:first]:
            start, cpu_start = time.perf_counter_ns(), time.process_time_ns()
            answer = ways[name]()
            spent, cpu_spent = time.perf_counter_ns() - start, time.process_time_ns() - cpu_start
            wall[name].append(spent / 1e6 / units[name])
            cpu[name].append(cpu_spent / 1e6 / units[name])
            answers.setdefault(name, answer)
            # Large answers of two ways need not be held side by side with a third's.
            del answer
    return Measured(wall=wall, cpu=cpu, answers=answers)


def median_of(runs: Runs, way: str) -> float:
    """Return the median of a way's figures."""
    return statistics.median(runs[way])


def ratios(measured: Measured[Answer], *, way: str, over: str) -> dict[str, float]:
    """Return one way's median over another's, by the clock and by the processor's time.

    Where others use the machine too, the processor's time is the steadier of the two.
    """
    return {
        f"{way}_over_{over}": median_of(measured.wall, way) / median_of(measured.wall, over),
        f"{way}_over_{over}_cpu": median_of(measured.cpu, way) / median_of(measured.cpu, over),
    }


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
        "machine": _describe_machine(),
        "cases": reported,
    }
    for case in reported:
        print(f"{benchmark}, {case['name']} [{case['unit']}]", file=sys.stderr)
        for way, median in case["median"].items():
            line = f"  {way:<18}{median:>12.3f}"
            if case["over_ours"]:
                line += f"  {case['over_ours'][way]:>7.2f} x ours"
            if case["cpu_median"]:
                line += f"  {case['cpu_median'][way]:>12.3f} of processor"
            print(line, file=sys.stderr)
        for name, value in case["agreement"].items():
            print(f"    {name}: {value:.4g}", file=sys.stderr)
    print(json.dumps(result))
    return result


def _describe_machine() -> dict[str, Any]:
    """Return what decides speed: the processor, its cores, the cores we may use, the threads."""
    model = ""
    if _CPU_INFO.exists():
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
        model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": model or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cpus": os.cpu_count(),
        "usable_cpus": usable,
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
