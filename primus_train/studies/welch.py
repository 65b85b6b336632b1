"""Whether two methods differ: Welch's test on their trials (Welch 1947)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Welch", "welch_test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Welch:
    """A two-sided test of equal means of two samples of unequal variance.

    Attributes:
        difference: of the means, first less second.
        t: difference over its standard error; None where both samples are constant.
        degrees: of freedom (Welch and Satterthwaite); None likewise.
        p: chance of a t as far from 0, were the means equal; None likewise.
        n: sizes of the samples.
    """

    difference: float
    t: float | None
    degrees: float | None
    p: float | None
    n: tuple[int, int]


def welch_test(first: Sequence[float], second: Sequence[float]) -> Welch | None:
    """Return the test of two samples; None where one has fewer than two values."""
    if min(len(first), len(second)) < 2:
        return None
    # scipy's special functions alone: its statistics take seconds to import.
    from scipy.special import stdtr

    difference = float(np.mean(first) - np.mean(second))
    n = (len(first), len(second))
    errors = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    if sum(errors) == 0:
        return Welch(difference=difference, t=None, degrees=None, p=None, n=n)
    t = difference / math.sqrt(sum(errors))
    degrees = sum(errors) ** 2 / sum(
        error**2 / (count - 1) for error, count in zip(errors, n, strict=True)
    )
    return Welch(
        difference=difference, t=t, degrees=degrees, p=float(2 * stdtr(degrees, -abs(t))), n=n
    )
