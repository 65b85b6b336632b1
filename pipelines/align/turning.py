"""How far a gyroscope turned over given intervals, at many trial lags at once."""

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Turning"]

# The gyro is not integrated across longer breaks in its samples.
_MAX_GAP_S: Final = 0.11
# Differences of time lost in breaks below this are rounding.
_LOST_S: Final = 1e-6


class Turning:
    """The gyro's running integral, readable at any instant.

    Args:
        t_ns: (N,) int64, strictly increasing, N >= 2.
        rad_s: (N, 3) turn rates in any fixed frame.
    """

    def __init__(self, t_ns: npt.NDArray[np.int64], rad_s: npt.NDArray[np.floating]) -> None:
        self._origin_ns = int(t_ns[0])
        self._t_s = (t_ns - self._origin_ns) * 1e-9
        steps_s = np.diff(self._t_s)
        # Angles about three axes, and the time lost in breaks so far.
        self._sums = np.zeros((4, len(t_ns)))
        for sums, rates in zip(self._sums, rad_s.T, strict=False):
            np.cumsum(steps_s * (rates[1:] + rates[:-1]) / 2, out=sums[1:])
        np.cumsum(np.where(steps_s > _MAX_GAP_S, steps_s, 0.0), out=self._sums[3, 1:])

    def over(
        self, ends_ns: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return angles (..., 3) turned over ``ends_ns`` (..., 2), and where they are known."""
        sums = self._read((ends_ns - self._origin_ns) * 1e-9)
        spans = np.moveaxis(sums[..., 1] - sums[..., 0], 0, -1)
        return spans[..., :3], np.abs(spans[..., 3]) < _LOST_S

    def over_lagged(
        self, ends_ns: npt.NDArray[np.int64], *, lags_ns: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return what ``over`` gives for intervals moved by each lag, from one reading.

        Between multiples of the lags' step the integral is taken as linear: at 20 ms that is half
        a milliradian at most for the fastest turns of a head (10 rad/s2).

        Args:
            ends_ns: (M, 2) int64, in time order.
            lags_ns: (L,) int64, evenly spaced, L >= 2.

        Returns:
            Angles (M, 3, L), 0 where unknown, and known (M, L) as 0.0 or 1.0.
        """
        step_ns = int(lags_ns[1] - lags_ns[0])
        count = len(lags_ns)
        first_ns = int(ends_ns.min() + lags_ns[0])
        index, rest_ns = np.divmod(ends_ns + int(lags_ns[0]) - first_ns, step_ns)
        grid = np.arange(int(index.max()) + count + 1, dtype=np.int64) * step_ns + first_ns
        sums = self._read((grid - self._origin_ns) * 1e-9)
        views = np.lib.stride_tricks.sliding_window_view(sums, count, axis=1)

        def read(side: int) -> npt.NDArray[np.float64]:
            at, share = index[:, side], rest_ns[:, side] / step_ns
            here: npt.NDArray[np.float64] = views[:, at]
            if share.any():
                here = here + (views[:, at + 1] - here) * share[:, None]
            return here

        spans = read(1) - read(0)  # (4, M, L)
        known = (np.abs(spans[3]) < _LOST_S).astype(np.float64)
        return (spans[:3] * known).transpose(1, 0, 2), known

    def _read(self, t_s: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return the sums (4, ...) at instants; all time outside the recording is lost."""
        sums = np.stack([np.interp(t_s, self._t_s, row) for row in self._sums])
        sums[3] += np.minimum(t_s, 0.0) + np.maximum(t_s - self._t_s[-1], 0.0)
        return sums
