"""Linear classifiers by the stack: applied to features with one matrix product.

`fit_heads` is the ``logistic`` protocol's fit: L2-regularised multinomial logistic regression on
features standardised by the shots' own mean and deviation, to convergence. With fewer samples than
features the problem is solved in the span of the samples, which is exact: L2 gives nothing to the
rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from primus_train.probes.softmax import minimise

__all__ = ["Features", "Floats", "Ints", "LinearHeads", "fit_heads", "select_heads"]

Features = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BLOCK: Final = 2048
"""Rows classified at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearHeads:
    """H classifiers of features (n, D) into K classes.

    Attributes:
        weight: (H, K, D), on features as they are: standardisation is in it.
        bias: (H, K).
        strength: (H,) lambda of each fit.
        converged: (H,) bool, whether the optimiser reached its tolerance.
    """

    weight: Floats
    bias: Floats
    strength: Floats
    converged: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.weight)

    def __getitem__(self, heads: Ints) -> "LinearHeads":
        return LinearHeads(
            weight=self.weight[heads],
            bias=self.bias[heads],
            strength=self.strength[heads],
            converged=self.converged[heads],
        )

    def predict(self, features: Features) -> Ints:
        """Return the class (H, n) that each head gives each row of ``features`` (n, D)."""
        heads, classes, width = self.weight.shape
        out = np.empty((heads, len(features)), dtype=np.int64)
        weight = np.ascontiguousarray(self.weight.reshape(-1, width).T)
        for start in range(0, len(features), _BLOCK):
            block = features[start : start + _BLOCK].astype(np.float64)
            logits = (block @ weight).reshape(-1, heads, classes) + self.bias
            out[:, start : start + _BLOCK] = logits.argmax(axis=2).T
        return out


def _principal(standard: Floats) -> tuple[Floats, Floats]:
    """Return samples (T, n, D) along their principal axes (T, n, r), and the axes (T, D, r)."""
    if standard.shape[1] < standard.shape[2]:
        left, sizes, axes = np.linalg.svd(standard, full_matrices=False)
        return left * sizes[:, None, :], axes.transpose(0, 2, 1)
    axes = np.linalg.eigh(standard.transpose(0, 2, 1) @ standard).eigenvectors
    return standard @ axes, axes


def fit_heads(
    features: Features, labels: Ints, *, classes: int, strengths: Sequence[float]
) -> LinearHeads:
    """Return a head for each of S ``strengths`` on each of T sets of samples, set by set.

    Args:
        features: (T, n, D).
        labels: (T, n) in [0, classes).
        classes: K.
        strengths: lambda in ``mean cross-entropy + lambda / 2 * |W|^2``, with W on standardised
            features; all positive.

    Returns:
        T S heads; head ``t * S + s`` is that of strength s on set t.

    Raises:
        ValueError: if there are no samples or a strength is not positive.
    """
    if features.shape[1] == 0 or features.shape[:2] != labels.shape:
        raise ValueError(
            f"features and labels must have the same rows, at least 1, got {features.shape[:2]} "
            f"and {labels.shape}"
        )
    if min(strengths) <= 0:
        raise ValueError(f"strengths must be positive, got {min(strengths)}")
    values = features.astype(np.float64)
    mean = values.mean(axis=1, keepdims=True)
    deviation = values.std(axis=1, keepdims=True)
    # Constant features differ from their mean by rounding alone.
    scale = np.where(deviation > 1e-9 * (1 + np.abs(mean)), deviation, 1.0)
    inputs, axes = _principal((values - mean) / scale)
    lambdas = np.array(strengths, dtype=np.float64)
    optima = minimise(inputs, labels, classes=classes, strengths=lambdas)
    sets, count = len(values), len(lambdas)
    flat = optima.weight.reshape(sets, count * classes, -1) @ axes.transpose(0, 2, 1) / scale
    shift = (flat @ mean.transpose(0, 2, 1)).reshape(sets, count, classes)
    return LinearHeads(
        weight=flat.reshape(sets * count, classes, -1),
        bias=(optima.bias - shift).reshape(sets * count, classes),
        strength=np.tile(lambdas, sets),
        converged=optima.converged.reshape(-1),
    )


def select_heads(heads: LinearHeads, features: Features, labels: Ints, *, sets: int) -> LinearHeads:
    """Return of each set the head most accurate on validation data; ties go to the stronger.

    Args:
        heads: as `fit_heads` gives them.
        features: (n, D) of validation.
        labels: (n,).
        sets: T.
    """
    right = (heads.predict(features) == labels).sum(axis=1).reshape(sets, -1)
    strength = heads.strength.reshape(sets, -1)
    best = np.array([np.lexsort((s, r))[-1] for r, s in zip(right, strength, strict=True)])
    return heads[np.arange(sets) * strength.shape[1] + best]
