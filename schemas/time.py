"""Time on the take clock: int64 nanoseconds, half-open intervals, rational rates."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = [
    "NS_PER_MS",
    "NS_PER_S",
    "Interval",
    "grid_ns",
    "parse_rate",
    "round_to_step_ns",
    "seconds_to_ns",
]

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Half-open ``[start_ns, end_ns)``: a sample at ``end_ns`` belongs to the next interval."""

    start_ns: int
    end_ns: int

    def __post_init__(self) -> None:
        if self.end_ns < self.start_ns:
            raise ValueError(f"end_ns must be at least start_ns={self.start_ns}, got {self.end_ns}")

    @property
    def duration_ns(self) -> int:
        """Length in nanoseconds."""
        return self.end_ns - self.start_ns

    def contains(self, t_ns: int) -> bool:
        """Whether ``t_ns`` lies in ``[start_ns, end_ns)``."""
        return self.start_ns <= t_ns < self.end_ns

    def overlap_ns(self, other: "Interval") -> int:
        """Length shared with ``other`` in nanoseconds, 0 where they do not meet."""
        return max(0, min(self.end_ns, other.end_ns) - max(self.start_ns, other.start_ns))


def seconds_to_ns(seconds: float) -> int:
    """Return ``seconds`` as the nearest int64 nanosecond."""
    return round(seconds * NS_PER_S)


def round_to_step_ns(t_ns: int, *, step_ns: int) -> int:
    """Return the multiple of ``step_ns`` nearest to ``t_ns``, ties upwards."""
    return (2 * t_ns + step_ns) // (2 * step_ns) * step_ns


def grid_ns(interval: Interval, *, step_ns: int) -> npt.NDArray[np.int64]:
    """Return the multiples of ``step_ns`` in ``[start_ns, end_ns)``, shape (N,)."""
    first = -(-interval.start_ns // step_ns) * step_ns
    return np.arange(first, interval.end_ns, step_ns, dtype=np.int64)


def parse_rate(value: str | float | Fraction) -> Fraction:
    """Return a positive rate in Hz as an exact fraction: ``50``, ``"30000/1001"``, ``29.97``.

    Raises:
        ValueError: if the value is not a positive number.
    """
    try:
        rate = Fraction(value).limit_denominator(1_000_000)
    except (ValueError, ZeroDivisionError, OverflowError, TypeError) as error:
        raise ValueError(
            f"rate must be a number or a fraction like '30000/1001', got {value!r}"
        ) from error
    if rate <= 0:
        raise ValueError(f"rate must be positive, got {value!r}")
    return rate
