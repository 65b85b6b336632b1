"""From a sample's running number to its time: one line a sensor, by least squares.

Payloads arrive about once a second. Their presentation times tell when the camera wrote them, and
jitter by some milliseconds; newer cameras add ``STMP``, the time of a payload's first sample in
microseconds of the camera's own clock (GoPro's "GPMF Introduction"). So the line goes through the
``STMP`` where every payload of both sensors has one, else through the presentation times. The
camera's clock has a zero of its own: it is laid where the stamps of both sensors are on average at
their payloads' presentation times, so that how the sensors lie to each other stays the camera's.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["GpmfClocks", "SampleLine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleLine:
    """Time of sample number n: ``first_ns + (n - first) * step_ns``, on the container's clock."""

    first: int
    first_ns: float
    step_ns: float

    def at_ns(self, number: int) -> float:
        """Return the time of one sample, however far away."""
        return self.first_ns + (number - self.first) * self.step_ns

    def t_ns(self, number: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the times of samples by their running numbers (N,)."""
        t_ns: npt.NDArray[np.int64] = np.rint(
            self.first_ns + (number - self.first) * self.step_ns
        ).astype(np.int64)
        return t_ns


class GpmfClocks:
    """Gathers the payloads of a track, in memory that does not grow with it."""

    def __init__(self) -> None:
        self._written: dict[str, _Fit] = {}
        self._stamped: dict[str, _Fit] = {}
        self._all_stamped = True
        self._offset_sum = self._offset_count = 0

    def add(self, key: str, number: int, *, pts_ns: int, stamp_ns: int | None) -> None:
        """Add one payload of a sensor.

        Args:
            key: of the sensor.
            number: running number of the payload's first sample.
            pts_ns: presentation time of the payload.
            stamp_ns: its ``STMP``; None where it has none.
        """
        self._written.setdefault(key, _Fit(number, pts_ns)).add(number, pts_ns)
        if stamp_ns is None:
            self._all_stamped = False
            return
        self._stamped.setdefault(key, _Fit(number, stamp_ns)).add(number, stamp_ns)
        self._offset_sum += pts_ns - stamp_ns
        self._offset_count += 1

    @property
    def timing(self) -> str:
        """What the lines rest on: ``stmp`` or ``payload``."""
        return "stmp" if self._all_stamped and self._stamped else "payload"

    @property
    def offset_ns(self) -> float:
        """What is added to a ``STMP`` to have it on the container's clock; 0 without any."""
        return self._offset_sum / self._offset_count if self._offset_count else 0.0

    def lines(self) -> dict[str, SampleLine]:
        """Return each sensor's line; step 0 where one payload alone cannot tell it."""
        fits = self._stamped if self.timing == "stmp" else self._written
        offset_ns = self.offset_ns if self.timing == "stmp" else 0.0
        lines: dict[str, SampleLine] = {}
        for key, fit in fits.items():
            first_ns, step_ns = fit.solve()
            lines[key] = SampleLine(first=fit.first, first_ns=first_ns + offset_ns, step_ns=step_ns)
        return lines


class _Fit:
    """Least squares of time on sample number, in running integer sums: exact and bounded."""

    def __init__(self, first: int, first_ns: int) -> None:
        self.first, self._first_ns = first, first_ns
        self._n = self._k = self._t = self._kk = self._kt = 0

    def add(self, number: int, t_ns: int) -> None:
        k, t = number - self.first, t_ns - self._first_ns
        self._n, self._k, self._t = self._n + 1, self._k + k, self._t + t
        self._kk, self._kt = self._kk + k * k, self._kt + k * t

    def solve(self) -> tuple[float, float]:
        """Return the time of sample ``first`` and the step, ns; step 0 where it cannot be told."""
        spread = self._n * self._kk - self._k**2
        step_ns = (self._n * self._kt - self._k * self._t) / spread if spread else 0.0
        return self._first_ns + (self._t - step_ns * self._k) / self._n, step_ns
