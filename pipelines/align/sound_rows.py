"""Which picture shifts to believe: those that neither neighbours nor the gyro contradict."""

from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.align.lag_sums import add_up, r2_curves
from pipelines.align.turning import Turning

__all__ = ["find_sound_rows"]

_COARSE: Final = 2
# From a median absolute deviation to a standard deviation, and how many of those are an outlier.
_MAD_TO_SIGMA: Final = 1.4826
_OUTLIER_SIGMAS: Final = 4.0


def find_sound_rows(
    turning: Turning,
    *,
    ends_ns: npt.NDArray[np.int64],
    shifts: npt.NDArray[np.float64],
    lags_ns: npt.NDArray[np.int64],
) -> npt.NDArray[np.bool_]:
    """Return which rows (M,) a first fit leaves standing.

    Left out are shifts far off that fit (failures of the phase correlation, things that move by
    themselves), and those that the gyro does not cover at its lag. The first fit is made to shifts
    whose single-frame spikes are clipped, at the best of every second lag.

    Args:
        turning: the gyro.
        ends_ns: (M, 2) int64, interval of each row, in time order.
        shifts: (M, 2), shift of the picture over it.
        lags_ns: (L,) evenly spaced.
    """
    if len(shifts) < 2:
        return np.ones(len(shifts), np.bool_)
    calm = _clip_spikes(shifts)
    coarse_ns = lags_ns[::_COARSE] if len(lags_ns) > _COARSE else lags_ns
    together = np.zeros(len(shifts), np.int64)
    sums = add_up(
        turning, ends_ns=ends_ns, shifts=calm, lags_ns=coarse_ns, block=together, blocks=1
    )
    first_ns = int(coarse_ns[np.argmax(r2_curves(sums)[0])])
    turned, known = turning.over(ends_ns + first_ns)
    if not known.any():
        return known
    design = np.column_stack([turned, np.ones(len(turned))])
    fit = design @ np.linalg.lstsq(design[known], calm[known], rcond=None)[0]
    off = np.abs(shifts - fit)
    # Off by more than is usual and by more than it is explained.
    near: npt.NDArray[np.bool_] = (off <= np.maximum(_spread(off[known]), np.abs(fit))).all(axis=1)
    return near & known


def _clip_spikes(shifts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the shifts (m, 2), each pulled to its neighbours' range and a usual step around it.

    A head turn lasts several frames; a failed phase correlation jumps for one.
    """
    before, after = np.roll(shifts, 1, axis=0), np.roll(shifts, -1, axis=0)
    before[0], after[-1] = shifts[1], shifts[-2]
    spread = _spread(shifts - np.median(shifts, axis=0))
    low, high = np.minimum(before, after) - spread, np.maximum(before, after) + spread
    return np.clip(shifts, low, high)


def _spread(off: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how far rows usually lie from zero, by the median: (2,) of (m, 2)."""
    spread: npt.NDArray[np.float64] = (
        _OUTLIER_SIGMAS * _MAD_TO_SIGMA * np.median(np.abs(off), axis=0)
    )
    return spread
