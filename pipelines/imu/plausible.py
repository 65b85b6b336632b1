"""Which recorded values can be a reading at all."""

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["MOST", "find_plausible"]

MOST: Final = 1e5
"""In m/s2 or rad/s: a hundred times beyond any sensor that is worn, raw counts of 16 bits below
it. What is larger is a broken cell; left in, it would spread over its neighbours as the window is
resampled, and end as infinity in float32."""


def find_plausible(values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Return which samples (N,) of ``values`` (N, 3) have three finite axes of at most ``MOST``."""
    within: npt.NDArray[np.bool_] = np.abs(values) <= MOST
    # Row by row takes ten times as long, and is hardly ever called for.
    if within.all():
        return np.ones(len(values), np.bool_)
    plausible: npt.NDArray[np.bool_] = np.all(within, axis=1)
    return plausible
