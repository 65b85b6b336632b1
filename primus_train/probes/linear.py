"""L2-regularised multinomial logistic regression, to convergence (the ``logistic`` protocol).

Features are standardised by the shots' own mean and deviation. With fewer samples than features
the problem is solved in the span of the samples, which is exact: L2 gives nothing to the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

__all__ = ["LinearHead", "fit_heads", "select_head"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_MAX_ITERATIONS: Final = 2000
_GRADIENT: Final = 1e-5
"""Largest component of the gradient at convergence."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearHead:
    """A linear classifier on standardised features.

    Attributes:
        weight: (D, K) on standardised features.
        bias: (K,).
        mean: (D,) of the shots.
        scale: (D,) standard deviation of the shots, 1 where they do not vary.
        strength: lambda of the fit.
        converged: whether the optimiser reached its tolerance.
    """

    weight: Floats
    bias: Floats
    mean: Floats
    scale: Floats
    strength: float
    converged: bool

    def predict(self, features: Floats) -> Ints:
        """Return the class (n,) of each row of ``features`` (n, D)."""
        logits = (features - self.mean) / self.scale @ self.weight + self.bias
        return np.asarray(np.argmax(logits, axis=1), dtype=np.int64)


def _loss(flat: Floats, inputs: Floats, one_hot: Floats, strength: float) -> tuple[float, Floats]:
    """Return mean cross-entropy + strength / 2 * |W|^2 and its gradient; the bias is free."""
    width, classes = inputs.shape[1], one_hot.shape[1]
    weight = flat[: width * classes].reshape(width, classes)
    logits = inputs @ weight + flat[width * classes :]
    logits -= logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits)
    sums = exponentials.sum(axis=1, keepdims=True)
    count = len(inputs)
    entropy = float((np.log(sums[:, 0]) - (logits * one_hot).sum(axis=1)).sum()) / count
    residual = (exponentials / sums - one_hot) / count
    gradient = np.concatenate(
        [(inputs.T @ residual + strength * weight).ravel(), residual.sum(axis=0)]
    )
    return entropy + strength / 2 * float((weight * weight).sum()), gradient


def fit_heads(
    features: Floats, labels: Ints, *, classes: int, strengths: Sequence[float]
) -> list[LinearHead]:
    """Return one head for each of ``strengths``.

    Args:
        features: (n, D).
        labels: (n,) in [0, classes).
        classes: K.
        strengths: lambda in ``mean cross-entropy + lambda / 2 * |W|^2``; all positive.

    Raises:
        ValueError: if there are no samples or a strength is not positive.
    """
    if len(features) == 0 or len(features) != len(labels):
        raise ValueError(
            f"features and labels must have the same rows, at least 1, got {len(features)} "
            f"and {len(labels)}"
        )
    if min(strengths) <= 0:
        raise ValueError(f"strengths must be positive, got {min(strengths)}")
    mean = features.mean(axis=0)
    deviation = features.std(axis=0)
    # Constant features differ from their mean by rounding alone.
    scale = np.where(deviation > 1e-9 * (1 + np.abs(mean)), deviation, 1.0)
    standard = (features - mean) / scale
    basis = None
    if len(standard) < standard.shape[1]:
        u, s, basis = np.linalg.svd(standard, full_matrices=False)
        standard = u * s
    one_hot = np.eye(classes)[labels]
    width = standard.shape[1]
    start = np.zeros((width + 1) * classes)
    heads: dict[float, LinearHead] = {}
    # From strong to weak, each from the last solution: the path is short.
    for strength in sorted(set(strengths), reverse=True):
        found = minimize(
            _loss,
            start,
            args=(standard, one_hot, strength),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITERATIONS, "gtol": _GRADIENT, "ftol": 0, "maxcor": 20},
        )
        start = found.x
        weight = start[: width * classes].reshape(width, classes)
        heads[strength] = LinearHead(
            weight=weight.copy() if basis is None else basis.T @ weight,
            bias=start[width * classes :].copy(),
            mean=mean,
            scale=scale,
            strength=strength,
            converged=bool(np.abs(found.jac).max() <= _GRADIENT),
        )
    return [heads[strength] for strength in strengths]


def select_head(heads: Sequence[LinearHead], features: Floats, labels: Ints) -> LinearHead:
    """Return the head most accurate on validation data; ties go to the stronger penalty."""
    return max(
        heads, key=lambda head: (float((head.predict(features) == labels).mean()), head.strength)
    )
