"""Sums over rows from which the fit of picture by gyro follows at every trial lag.

They add up over time: one pass over a take gives the fit of every stretch of it.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.align.turning import Turning

__all__ = [
    "KNOWN",
    "LAG_STEP_NS",
    "ROWS",
    "SUMS",
    "add_up",
    "count_effective",
    "r2_curves",
    "trial_lags_ns",
]

LAG_STEP_NS: Final = 20_000_000
"""Distance of trial lags; half the width of the fit's peak is three to ten of them."""

SUMS: Final = 25
"""Sums a stretch and lag: of known rows their number (1), x (3), y (2), x x' (6) and x y' (6);
of all rows their number (1), y (2), y'y (1), its square (1) and y'y with the row before (1);
of known rows y'y (1)."""

KNOWN: Final = 0
"""Place of the number of known rows among the sums."""

ROWS: Final = 18
"""Place of the number of all rows among the sums."""

_ROW, _COLUMN = np.triu_indices(3)
_ROWS_AT_ONCE: Final = 64
# Beyond this many rows even slow turns of a head have nothing to do with each other.
_MEMORY_ROWS: Final = 6
# Share of the motion that may lie beyond the ends of the gyro without counting against a lag.
_OUT_OF_REACH: Final = 0.2
# Axes that turn less than this share of all turning explain nothing.
_RIDGE: Final = 1e-9


def trial_lags_ns(max_lag_ns: int) -> npt.NDArray[np.int64]:
    """Return the lags (L,) tried: multiples of ``LAG_STEP_NS`` up to ``max_lag_ns``, both ways."""
    reach = max(1, max_lag_ns // LAG_STEP_NS)
    return np.arange(-reach, reach + 1, dtype=np.int64) * LAG_STEP_NS


def add_up(
    turning: Turning,
    *,
    ends_ns: npt.NDArray[np.int64],
    shifts: npt.NDArray[np.float64],
    lags_ns: npt.NDArray[np.int64],
    block: npt.NDArray[np.int64],
    blocks: int,
) -> npt.NDArray[np.float64]:
    """Return the sums (blocks, SUMS, L) over the rows of each block.

    Args:
        turning: the gyro.
        ends_ns: (M, 2) int64, interval of each row, in time order.
        shifts: (M, 2), shift of the picture over it.
        lags_ns: (L,) evenly spaced.
        block: (M,) which block each row belongs to, non-decreasing.
        blocks: how many there are.
    """
    sums = np.zeros((blocks, SUMS, len(lags_ns)))
    adjacent = np.zeros(len(shifts))
    follows = ends_ns[1:, 0] == ends_ns[:-1, 1]
    adjacent[1:] = np.where(follows, (shifts[1:] * shifts[:-1]).sum(axis=1), 0.0)
    for low in range(0, len(shifts), _ROWS_AT_ONCE):
        rows = slice(low, low + _ROWS_AT_ONCE)
        x, known = turning.over_lagged(ends_ns[rows], lags_ns=lags_ns)  # (m, 3, L), (m, L)
        y = shifts[rows][:, :, None]  # (m, 2, 1)
        terms = np.empty((len(x), SUMS, len(lags_ns)))
        terms[:, KNOWN] = known
        terms[:, 1:4] = x
        terms[:, 4:6] = y * known[:, None]
        np.multiply(x[:, _ROW], x[:, _COLUMN], out=terms[:, 6:12])
        np.multiply(x, y[:, :1], out=terms[:, 12:15])
        np.multiply(x, y[:, 1:], out=terms[:, 15:18])
        terms[:, 18] = 1.0
        terms[:, 19:21] = y
        terms[:, 21] = (y**2).sum(axis=1)
        terms[:, 22] = terms[:, 21] ** 2
        terms[:, 23] = adjacent[rows][:, None]
        terms[:, 24] = terms[:, 21] * known
        here, starts = np.unique(block[rows], return_index=True)
        sums[here] += np.add.reduceat(terms, starts, axis=0)
    return sums


def r2_curves(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the share (..., L) of the picture's motion that the gyro explains at each lag.

    Both components of the shift y are regressed on the three angles x and a constant, over the
    rows whose x is known at that lag. The fit explains ``c' S^-1 c`` of y's sum of squares, where
    S is the scatter of x and c that of x with y. Rows that are not known count as unexplained as
    far as they hold more than a fifth of all motion: so lags that cover a little more of a picture
    than the true one do not look better for it, and lags that cover little of it do not either.

    Args:
        sums: (..., SUMS, L) of ``add_up``, added up over any stretch.
    """
    parts = np.moveaxis(sums, -2, 0)
    n = np.maximum(parts[KNOWN], 1.0)
    x, y = parts[1:4], parts[4:6]
    scatter = parts[6:12] - x[_ROW] * x[_COLUMN] / n
    across = np.stack([parts[12:15] - x * y[0] / n, parts[15:18] - x * y[1] / n])
    everything = parts[21]
    total = everything - (parts[19:21] ** 2).sum(axis=0) / np.maximum(parts[18], 1.0)
    xx, xy, xz, yy, yz, zz = scatter
    ridge = _RIDGE * (xx + yy + zz) + 1e-12 * parts[[6, 9, 11]].sum(axis=0)
    ridge = ridge + np.finfo(np.float64).tiny
    # Cholesky's factor of S, written out: millions of 3 x 3 systems at once.
    a = np.sqrt(np.maximum(xx, 0.0) + ridge)
    b, c = xy / a, xz / a
    d = np.sqrt(np.maximum(yy - b**2, 0.0) + ridge)
    e = (yz - b * c) / d
    f = np.sqrt(np.maximum(zz - c**2 - e**2, 0.0) + ridge)
    explained = np.zeros_like(total)
    for right in across:
        u = right[0] / a
        v = (right[1] - b * u) / d
        w = (right[2] - c * u - e * v) / f
        explained += u**2 + v**2 + w**2
    moved = total > 1e-12 * everything
    reached = parts[24] - (y**2).sum(axis=0) / n
    asked = np.maximum(reached, (1.0 - _OUT_OF_REACH) * total)
    share = np.divide(explained, asked, out=np.zeros_like(total), where=moved)
    curves: npt.NDArray[np.float64] = np.clip(share, 0.0, 1.0)
    return curves


def count_effective(sums: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how many independent rows of equal weight (...) the shifts of a stretch are worth.

    A few strong turns outweigh many still rows: ``(sum y'y)^2 / sum (y'y)^2`` rows carry the
    weight. But still rows tell something too, as the gyro must be still there: the geometric mean
    of both numbers counts. Neighbours resemble each other: with correlations ``r^(k^2)`` at k rows,
    as of a signal of Gaussian spectrum, they are worth ``1 / (1 + 2 sum r^(2 k^2))`` of that
    (Bartlett, 1946).

    Args:
        sums: (..., SUMS, L) of ``add_up``.
    """
    rows, energy, square, adjacent = (sums[..., k, 0] for k in (ROWS, 21, 22, 23))
    weighty = np.divide(energy**2, square, out=np.zeros_like(energy), where=square > 0)
    r = np.divide(adjacent, energy, out=np.zeros_like(energy), where=energy > 0)
    k = np.arange(1, _MEMORY_ROWS + 1)
    memory = 1 + 2 * (np.clip(r, 0.0, 1.0)[..., None] ** (2 * k**2)).sum(axis=-1)
    effective: npt.NDArray[np.float64] = np.sqrt(rows * weighty) / memory
    return effective
