"""From a device's clock to the take clock and back, by the instants known on both."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.time import Interval

__all__ = ["TakeClock"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeClock:
    """Matched instants of one take, and how far they can be trusted.

    Between instants the map is linear; before the first and after the last it goes on at the
    take's mean rate, so that IMU samples just outside the video keep honest stamps.

    Attributes:
        device_ns: (K,) int64 strictly increasing, device clock; K >= 2.
        take_ns: (K,) int64 strictly increasing, take clock, of the same instants.
        span: of the take: ``[0, end of the last frame)``.
        uncertainty_ns: how far a systematic error may reach (one frame where the row
            convention had to be assumed).
    """

    device_ns: npt.NDArray[np.int64]
    take_ns: npt.NDArray[np.int64]
    span: Interval
    uncertainty_ns: int = 0

    def __post_init__(self) -> None:
        for name, stamps in (("device_ns", self.device_ns), ("take_ns", self.take_ns)):
            if stamps.dtype != np.int64 or stamps.ndim != 1 or len(stamps) < 2:
                raise ValueError(f"{name} must be int64 (K,) with K >= 2, got {stamps.shape}")
            if int(np.diff(stamps).min()) <= 0:
                raise ValueError(f"{name} must be strictly increasing")
        if len(self.device_ns) != len(self.take_ns):
            raise ValueError(
                f"device_ns and take_ns must be of one length, "
                f"got {len(self.device_ns)} and {len(self.take_ns)}"
            )

    @classmethod
    def identity(cls, span: Interval, *, uncertainty_ns: int = 0) -> "TakeClock":
        """Return the clock of a take whose streams are already stamped on the take clock."""
        ends = np.array([span.start_ns, max(span.end_ns, span.start_ns + 1)], dtype=np.int64)
        return cls(device_ns=ends, take_ns=ends, span=span, uncertainty_ns=uncertainty_ns)

    def to_take_ns(self, device_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return device instants on the take clock, same shape, int64."""
        return _map(device_ns, source=self.device_ns, target=self.take_ns)

    def to_device_ns(self, take_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return take instants on the device clock, same shape, int64."""
        return _map(take_ns, source=self.take_ns, target=self.device_ns)


def _map(
    t_ns: npt.NDArray[np.int64],
    *,
    source: npt.NDArray[np.int64],
    target: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    # Offsets from the first instant stay far below 2^53, so float64 is exact to the nanosecond.
    x = (t_ns - source[0]).astype(np.float64)
    xs = (source - source[0]).astype(np.float64)
    ys = (target - target[0]).astype(np.float64)
    y = np.interp(x, xs, ys)
    rate = ys[-1] / xs[-1]
    y = np.where(x < 0, x * rate, y)
    y = np.where(x > xs[-1], ys[-1] + (x - xs[-1]) * rate, y)
    result: npt.NDArray[np.int64] = np.rint(y).astype(np.int64) + target[0]
    return result
