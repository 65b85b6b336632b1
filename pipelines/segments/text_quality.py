"""How crowded a segment's sentence stands among the others of its take."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.narration import Narration
from schemas.time import NS_PER_S, Interval

__all__ = ["DENSITY_REACH_NS", "measure_text_quality"]

DENSITY_REACH_NS: Final = 30 * NS_PER_S
"""Narrations up to this far from a segment's middle count for its density."""

_NS_PER_MINUTE: Final = 60 * NS_PER_S


def measure_text_quality(
    narrations: Sequence[Narration],
    *,
    start_ns: npt.NDArray[np.int64],
    end_ns: npt.NDArray[np.int64],
    span: Interval,
) -> pl.DataFrame:
    """Return the quality columns of N segments; null throughout where the take has no narration.

    - ``narrations_per_minute``: narrations of the take within half a minute of the segment's
      middle, by the length of what lies within the take of that minute.
    - ``sentences_in_window``: different cleaned sentences of the take whose instant lies in
      ``[start_ns, end_ns)``; empty ones are none.
    - ``ambiguous``: whether these are more than one.

    Args:
        narrations: of the take, all of them, with their sentences cleaned, in any order.
        start_ns: (N,) of the segments.
        end_ns: (N,) each above its start.
        span: of the take.
    """
    schema = {
        "narrations_per_minute": pl.Float64(),
        "sentences_in_window": pl.Int32(),
        "ambiguous": pl.Boolean(),
    }
    if not narrations:
        return pl.DataFrame({name: [None] * len(start_ns) for name in schema}, schema=schema)
    inside = sorted((n.narration_ns, n.text) for n in narrations if span.contains(n.narration_ns))
    t_ns = np.array([t for t, _ in inside], np.int64)
    middle_ns = (start_ns + end_ns) // 2
    low_ns = np.maximum(middle_ns - DENSITY_REACH_NS, span.start_ns)
    high_ns = np.minimum(middle_ns + DENSITY_REACH_NS, span.end_ns)
    near = np.searchsorted(t_ns, high_ns) - np.searchsorted(t_ns, low_ns)
    bounds = zip(
        np.searchsorted(t_ns, start_ns).tolist(),
        np.searchsorted(t_ns, end_ns).tolist(),
        strict=True,
    )
    sentences = [len({text for _, text in inside[low:high] if text}) for low, high in bounds]
    return pl.DataFrame(
        {
            "narrations_per_minute": near / ((high_ns - low_ns) / _NS_PER_MINUTE),
            "sentences_in_window": sentences,
            "ambiguous": [n > 1 for n in sentences],
        },
        schema=schema,
    )
