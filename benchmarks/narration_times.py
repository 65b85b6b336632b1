"""When narrations are spoken: real times out of an annotation file, or times drawn like them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.segments.windows import segment_around
from schemas.manifest import Drop
from schemas.time import NS_PER_MS, NS_PER_S, Interval, seconds_to_ns

__all__ = ["NarratedTake", "choose_takes", "draw_takes", "read_takes"]

_LENGTH_NS: Final = 5 * NS_PER_S
_STEP_NS: Final = 20 * NS_PER_MS
# The file does not say how long its takes are: half a window is granted after the last sentence.
_AFTER_LAST_NS: Final = _LENGTH_NS // 2
# Sets of takes that are drawn to choose from.
_DRAWS: Final = 500
# Fitted to 54 narrated takes of Ego-Exo4D with 63 passes and 3,264 sentences: log-normal seconds
# from one sentence of a pass to the next (of their mean and the spread of their logarithms),
# log-normal seconds of a pass, and how many takes have a second pass.
_LOG_GAP_S: Final = (0.293, 1.023)
_LOG_PASS_S: Final = (4.282, 0.933)
_LIMITS_S: Final = (10.0, 750.0)
_SECOND_PASS: Final = 9 / 54


@dataclass(frozen=True, slots=True)
class NarratedTake:
    """A take by the instants of its narrations.

    Attributes:
        name: of the take.
        span: of the take, [0, end).
        windows: five seconds around each narration, slid inwards at the ends; repeats are kept.
    """

    name: str
    span: Interval
    windows: tuple[Interval, ...]

    @property
    def seconds(self) -> float:
        """Length of the take."""
        return self.span.duration_ns / NS_PER_S


def read_takes(path: Path) -> list[NarratedTake]:
    """Return the takes of an ``atomic_descriptions`` file that have windows, by name.

    Rejected passes are left out, as the pipeline leaves them out.
    """
    annotations = json.loads(path.read_text(encoding="utf-8"))["annotations"]
    takes = {
        name: [
            float(sentence["timestamp"])
            for entry in passes
            if not entry.get("rejected")
            for sentence in entry["descriptions"]
        ]
        for name, passes in annotations.items()
    }
    return _place(takes)


def draw_takes(count: int, *, seed: int) -> list[NarratedTake]:
    """Return takes whose narrations come as far apart as real ones, in as long passes."""
    rng = np.random.default_rng(seed)
    takes: dict[str, list[float]] = {}
    for number in range(count):
        length_s = float(np.clip(rng.lognormal(*_LOG_PASS_S), *_LIMITS_S))
        takes[f"drawn-{number:03d}"] = [
            t_s for _ in range(1 + int(rng.random() < _SECOND_PASS)) for t_s in _pass(rng, length_s)
        ]
    return _place(takes)


def choose_takes(takes: Sequence[NarratedTake], *, seconds: float, seed: int) -> list[NarratedTake]:
    """Return a sample of at most ``seconds`` that has about as many windows a second as all have.

    Random sets are drawn, each filled in its order with whatever take still fits; the one whose
    windows a second are nearest to those of all takes is taken.

    Raises:
        ValueError: if not even the shortest take fits.
    """
    rng = np.random.default_rng(seed)
    density = _windows_a_second(takes)
    chosen: list[NarratedTake] = []
    best = float("inf")
    for _ in range(_DRAWS):
        some: list[NarratedTake] = []
        left_s = seconds
        for number in rng.permutation(len(takes)).tolist():
            if takes[number].seconds <= left_s:
                some.append(takes[number])
                left_s -= takes[number].seconds
        if not some:
            raise ValueError(f"seconds must hold the shortest take, got {seconds}")
        off = abs(_windows_a_second(some) - density)
        if off < best:
            chosen, best = some, off
    return chosen


def _windows_a_second(takes: Sequence[NarratedTake]) -> float:
    return sum(len(take.windows) for take in takes) / sum(take.seconds for take in takes)


def _pass(rng: np.random.Generator, length_s: float) -> list[float]:
    # Enough gaps for the longest pass of the shortest ones; whatever lies beyond is cut off.
    times_s = np.cumsum(rng.lognormal(*_LOG_GAP_S, size=int(2 * length_s) + 10))
    return [float(t) for t in times_s[times_s < length_s]]


def _place(takes: Mapping[str, Sequence[float]]) -> list[NarratedTake]:
    placed = []
    for name, times_s in sorted(takes.items()):
        times_ns = [seconds_to_ns(t) for t in sorted(times_s)]
        if not times_ns:
            continue
        span = Interval(0, times_ns[-1] + _AFTER_LAST_NS)
        windows = [
            segment_around(t_ns, take=span, length_ns=_LENGTH_NS, step_ns=_STEP_NS)
            for t_ns in times_ns
        ]
        kept = tuple(window for window in windows if not isinstance(window, Drop))
        if kept:
            placed.append(NarratedTake(name, span, kept))
    return placed
