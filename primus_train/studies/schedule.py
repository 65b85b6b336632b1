"""In which order the work of studies is done, by one worker or several."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from primus_train.studies.plan import FitTask, Plan, ProbeTask
from primus_train.studies.work import Note, fit_order, probe_order

__all__ = ["OnPoints", "Outcome", "Runner", "Schedule", "counts", "serve"]

OnPoints = Callable[[int, int, str], None]
"""Is told points done, of how many, and what is being done."""


class Runner(Protocol):
    """What does one piece of work at a time: this process, or another."""

    def __call__(self, order: dict[str, Any], *, note: Note) -> dict[str, Any]:
        """Return ``{"result": record}`` or ``{"failed": reason}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a piece of work.

    Attributes:
        result: its record; None if it failed.
        reason: why it failed.
        seconds: it took now; None where the result was there already.
    """

    result: dict[str, Any] | None
    reason: str | None = None
    seconds: float | None = None

    @property
    def computed(self) -> bool:
        """Whether it was made now."""
        return self.seconds is not None and self.result is not None


Task = FitTask | ProbeTask


class Schedule:
    """What is to be done, is being done and is done; any thread may ask.

    What several studies need is done once. A run's probes are to be done once the run is there,
    before the next run is begun: a study that is looked at half way has whole lines.

    Args:
        plans: of the studies.
        on_points: told after each piece of work and, seldom, in between.
        workers: how many share the work, for the time it will take.
    """

    def __init__(self, *plans: Plan, on_points: OnPoints | None = None, workers: int = 1) -> None:
        self.fits: dict[str, FitTask] = {}
        self.probes: dict[str, ProbeTask] = {}
        for plan in plans:
            # In the studies' order, and called as the first study calls it.
            self.fits |= {key: task for key, task in plan.fits.items() if key not in self.fits}
            self.probes |= {k: task for k, task in plan.probes.items() if k not in self.probes}
        self.outcomes: dict[str, Outcome] = {}
        self._tell = on_points
        self._workers = workers
        self._changed = threading.Condition()
        self._telling = threading.Lock()
        self._next_fits = deque(self.fits.values())
        self._next_probes: deque[ProbeTask] = deque()
        self._working = 0
        self._ended = False

    def take(self) -> Task | None:
        """Return the next piece of work, once there is one; None when there will be none."""
        with self._changed:
            while not self._ended:
                if self._next_probes or self._next_fits:
                    self._working += 1
                    if self._next_probes:
                        return self._next_probes.popleft()
                    return self._next_fits.popleft()
                if not self._working:
                    return None
                self._changed.wait()
            return None

    def order(self, task: Task) -> dict[str, Any]:
        """Return a piece of work as JSON."""
        if isinstance(task, FitTask):
            return fit_order(task)
        return probe_order(task, run=self.fits[task.fit].folder)

    def finish(self, task: Task, answer: dict[str, Any], *, seconds: float) -> None:
        """Say what became of a piece of work."""
        result = answer.get("result")
        with self._changed:
            self._working -= 1
            was_there = result is not None and bool(result["reused"])
            self.outcomes[task.key] = Outcome(
                result=result,
                reason=answer.get("failed"),
                seconds=None if was_there else seconds,
            )
            if isinstance(task, FitTask):
                mine = [probe for probe in self.probes.values() if probe.fit == task.key]
                if result is None:
                    for probe in mine:
                        reason = f"its run failed: {answer['failed']}"
                        self.outcomes[probe.key] = Outcome(result=None, reason=reason)
                else:
                    self._next_probes.extend(mine)
            self._changed.notify_all()
        self.note(task.title)

    def end(self) -> None:
        """Begin nothing more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def note(self, doing: str) -> None:
        """Tell how far the studies are."""
        if self._tell is None:
            return
        probes = self.probes
        done = sum(probes[key].points for key in list(self.outcomes) if key in probes)
        total = sum(probe.points for probe in probes.values())
        left = self.seconds_left()
        with self._telling:
            self._tell(done, total, doing if left is None else f"{_words(left)} left, {doing}")

    def seconds_left(self) -> float | None:
        """Return how long the rest will take by what was made so far; None where none was."""
        left = 0.0
        for tasks in (self.fits, self.probes):
            seconds = [
                outcome.seconds
                for key, outcome in list(self.outcomes.items())
                if key in tasks and outcome.seconds is not None and outcome.result is not None
            ]
            rest = sum(key not in self.outcomes for key in tasks)
            if rest and not seconds:
                return None
            left += rest * sum(seconds) / len(seconds) if rest else 0.0
        return left / self._workers


def serve(schedule: Schedule, runner: Runner) -> None:
    """Do pieces of work until there are none."""
    while (task := schedule.take()) is not None:
        title = task.title

        def note(said: str, *, title: str = title) -> None:
            schedule.note(f"{title}: {said}")

        began = time.monotonic()
        answer = runner(schedule.order(task), note=note)
        schedule.finish(task, answer, seconds=time.monotonic() - began)


def _words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return how many were computed, reused, and failed."""
    return {
        "computed": sum(outcome.computed for outcome in outcomes),
        "reused": sum(o.result is not None and not o.computed for o in outcomes),
        "failed": sum(outcome.result is None for outcome in outcomes),
    }
