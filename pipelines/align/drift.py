"""How fast a lag grows over a take, and a take's fit along that drift."""

from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.align.lag_peak import LagPeaks
from pipelines.align.lag_sums import LAG_STEP_NS

__all__ = ["add_along", "find_slope"]

_MIN_WINDOWS: Final = 3


def find_slope(
    middles_s: npt.NDArray[np.float64], *, peaks: LagPeaks, least_span_s: float
) -> float | None:
    """Return the growth of the lag in nanoseconds a second, None where it cannot be told.

    The weighted median of the slopes of all pairs of windows (Theil, 1950; Sen, 1968), each pair
    weighted by both confidences and its distance in time, so that near pairs say little: up to
    three windows in ten may be wrong.

    Args:
        middles_s: (B,) increasing, middles of the windows.
        peaks: (B,) what each tells.
        least_span_s: the first and last window that tell must be this far apart.
    """
    told = peaks.told
    at_s, lag_ns, trust = middles_s[told], peaks.lag_ns[told], peaks.confidence[told]
    if len(at_s) < _MIN_WINDOWS or at_s[-1] - at_s[0] < least_span_s:
        return None
    early, late = np.triu_indices(len(at_s), k=1)
    apart_s = at_s[late] - at_s[early]
    slopes = (lag_ns[late] - lag_ns[early]) / apart_s
    weights = trust[late] * trust[early] * apart_s
    order = np.argsort(slopes, kind="stable")
    reached = np.cumsum(weights[order])
    return float(slopes[order][np.searchsorted(reached, reached[-1] / 2)])


def add_along(
    sums: npt.NDArray[np.floating], *, offsets_ns: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the sum (SUMS, L) of B windows, each read at its own lag offset.

    Where an offset leads beyond the lags tried, the nearest one tried stands in.

    Args:
        sums: (B, SUMS, L) of the windows, from ``lag_sums.add_up``.
        offsets_ns: (B,) lag of each window minus that of the whole.
    """
    steps = np.rint(offsets_ns / LAG_STEP_NS).astype(np.int64)
    lags = np.arange(sums[0].shape[1])
    total = np.zeros(sums.shape[1:])
    for one, step in zip(sums, steps.tolist(), strict=True):
        total += one[:, np.clip(lags + step, 0, len(lags) - 1)]
    return total
