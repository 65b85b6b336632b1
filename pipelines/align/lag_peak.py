"""The lag that a curve of R2 tells, and how far it stands out from all others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.align.lag_sums import LAG_STEP_NS

__all__ = [
    "MIN_CONFIDENCE",
    "MIN_KNOWN",
    "MIN_R2",
    "MIN_ROWS",
    "LagPeaks",
    "join_peaks",
    "read_peaks",
]

MIN_ROWS: Final = 50
"""Fewest usable picture shifts (5 s at 10 Hz)."""
MIN_R2: Final = 0.1
"""Smallest share of the picture's motion that the gyro must explain."""
MIN_CONFIDENCE: Final = 0.1
"""How far the best lag must stand out from all others."""
MIN_KNOWN: Final = 0.9
"""Smallest share of the rows that the gyro must cover at the best lag: where it ends long before
the picture, lags that cover a little more of the picture would look better than the true one."""

# Three axes explain 3 / n of n independent rows by chance, at the best of many lags two to three
# times as much.
_CHANCE_ROWS: Final = 8
# Nearer lags belong to the same peak.
_APART: Final = -(-150_000_000 // LAG_STEP_NS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LagPeaks:
    """What B curves tell.

    Attributes:
        told: (B,) whether the lag can be told.
        lag_ns: (B,) int64, 0 where it cannot.
        r2: (B,) at the best lag; 0 where rows are too few for it to mean anything.
        confidence: (B,) 0 to 1; 0 where the lag cannot be told.
    """

    told: npt.NDArray[np.bool_]
    lag_ns: npt.NDArray[np.int64]
    r2: npt.NDArray[np.float64]
    confidence: npt.NDArray[np.float64]


def read_peaks(
    curves: npt.NDArray[np.float64],
    *,
    rows: npt.NDArray[np.float64],
    known: npt.NDArray[np.float64],
    effective: npt.NDArray[np.float64],
    lags_ns: npt.NDArray[np.int64],
) -> LagPeaks:
    """Read the highest peak of each curve, refined by a parabola.

    Confidence is the share explained at the best lag of what the next best explanation leaves:
    ``(best - next) / (1 - next)``, where ``next`` is the highest other peak at least 0.15 s away,
    or what unrelated motion reaches, ``1 - exp(-8 / effective)``, whichever is more.

    A lag is told where ``rows`` is at least ``MIN_ROWS``, R2 at least ``MIN_R2``, confidence at
    least ``MIN_CONFIDENCE``, the gyro covers ``MIN_KNOWN`` of the rows at the best lag, and that is
    not the first or last one tried.

    Args:
        curves: (B, L) R2 of each stretch at each lag.
        rows: (B,) rows that each rests on.
        known: (B, L) how many of them the gyro covers at each lag.
        effective: (B,) how many independent ones they are worth (``count_effective``).
        lags_ns: (L,) evenly spaced, L >= 3.
    """
    count = len(lags_ns)
    every = np.arange(len(curves))
    best = np.argmax(curves, axis=1)
    r2 = curves[every, best]
    fenced = np.pad(curves, ((0, 0), (1, 1)), constant_values=-1.0)
    is_peak = (curves >= fenced[:, :-2]) & (curves >= fenced[:, 2:])
    far = np.abs(np.arange(count) - best[:, None]) >= _APART
    other = np.max(curves, axis=1, where=is_peak & far, initial=0.0)
    chance = 1.0 - np.exp(-_CHANCE_ROWS / np.maximum(effective, 0.1))
    floor = np.minimum(np.maximum(other, chance), 1.0)
    stands_out = np.divide(r2 - floor, 1.0 - floor, out=np.zeros_like(r2), where=floor < 1.0)
    inside = (best > 0) & (best < count - 1) & (known[every, best] >= MIN_KNOWN * rows)
    told = inside & (rows >= MIN_ROWS) & (r2 >= MIN_R2) & (stands_out >= MIN_CONFIDENCE)
    middle = np.clip(best, 1, count - 2)
    before, top, after = (curves[every, middle + k] for k in (-1, 0, 1))
    bend = before - 2 * top + after
    offset = np.divide(0.5 * (before - after), bend, out=np.zeros_like(bend), where=bend < 0)
    lag_ns = lags_ns[best] + np.rint(offset * (lags_ns[1] - lags_ns[0])).astype(np.int64)
    return LagPeaks(
        told=told,
        lag_ns=np.where(told, lag_ns, 0),
        r2=np.where(rows >= MIN_ROWS, r2, 0.0),
        confidence=np.where(told, np.clip(stands_out, 0.0, 1.0), 0.0),
    )


def join_peaks(peaks: Sequence[LagPeaks]) -> LagPeaks:
    """Return the peaks of several runs of curves as one."""
    return LagPeaks(
        told=np.concatenate([p.told for p in peaks]),
        lag_ns=np.concatenate([p.lag_ns for p in peaks]),
        r2=np.concatenate([p.r2 for p in peaks]),
        confidence=np.concatenate([p.confidence for p in peaks]),
    )
