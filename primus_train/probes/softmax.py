"""Many regularised multinomial logistic regressions at once, each to its own optimum.

Problem p minimises ``mean cross-entropy + strength_p / 2 * |weights|^2`` (the bias is free) by
L-BFGS. All problems step together: samples that several problems share are read once for all of
them, and a problem leaves when it has converged. Two things make the steps few and cheap. Steps
start from the Hessian's diagonal, which at zero is all of it when inputs lie along their principal
axes, and which follows how sure a problem has become. And logits are linear along a direction, so
that a line search costs no product with the inputs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["Optima", "minimise"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_HISTORY: Final = 12
_MAX_ITERATIONS: Final = 1000
_MAX_TRIES: Final = 30
"""Of one line search."""
_GRADIENT: Final = 1e-6
"""Largest component of the gradient at convergence."""
_SLOPE: Final = 0.7
"""Share of its slope that a step must lose."""
_SMALLEST: Final = 1e-290
_ROUNDING: Final = 1e-13
"""Differences of losses below this are rounding."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optima:
    """Solutions of S strengths on each of T sets of samples.

    Attributes:
        weight: (T, S, K, r).
        bias: (T, S, K).
        converged: (T, S) bool, whether the gradient came to its tolerance.
    """

    weight: Floats
    bias: Floats
    converged: Bools


@dataclass(slots=True, kw_only=True, eq=False)
class _State:
    """The problems still under way, P of them; axis 0 of each array."""

    owner: Ints  # (P,) the set of samples
    place: Ints  # (P,) where its solution goes
    penalty: Floats  # (P, 1, r + 1), 0 for the bias
    squares: Floats  # (P, 1, r + 1), mean square of each input
    unsure: Floats  # (P, 1, 1), mean variance of a class's probability
    point: Floats  # (P, K, r + 1)
    logits: Floats  # (P, K, n)
    gradient: Floats  # (P, K, r + 1)
    moves: list[Floats]  # (P, K, r + 1) each, latest last
    turns: list[Floats]  # likewise, of the gradient

    def keep(self, rows: Bools) -> None:
        """Let the others go."""
        for name in (
            "owner",
            "place",
            "penalty",
            "squares",
            "unsure",
            "point",
            "logits",
            "gradient",
        ):
            setattr(self, name, getattr(self, name)[rows])
        self.moves = [move[rows] for move in self.moves]
        self.turns = [turn[rows] for turn in self.turns]

    @property
    def curvature(self) -> Floats:
        """About the Hessian's diagonal (P, 1, r + 1)."""
        return self.unsure * self.squares + self.penalty


def _dot(a: Floats, b: Floats) -> Floats:
    products: Floats = np.einsum("pkr,pkr->p", a, b)
    return products


def _reciprocal(values: Floats) -> Floats:
    """Return 1 / values, 0 where a move was so small that rounding hides its curvature."""
    safe = values > _SMALLEST
    return np.where(safe, 1 / np.where(safe, values, 1), 0)


def _column(values: Floats) -> Floats:
    return values[:, None, None]


class _Samples:
    """T sets of n samples, a one appended to each for the bias."""

    def __init__(self, inputs: Floats, labels: Ints, *, classes: int) -> None:
        ones = np.ones((*inputs.shape[:2], 1))
        self.inputs = np.concatenate([inputs, ones], axis=2)
        self.count = inputs.shape[1]
        self.one_hot = np.ascontiguousarray(np.eye(classes)[labels].transpose(0, 2, 1))

    def logits(self, points: Floats, *, owner: Ints) -> Floats:
        """Return (P, K, n) of points (P, K, r + 1)."""
        out = np.empty((*points.shape[:2], self.count))
        for index in np.unique(owner):
            mine = owner == index
            rows = points[mine].reshape(-1, points.shape[2]) @ self.inputs[index].T
            out[mine] = rows.reshape(-1, points.shape[1], self.count)
        return out

    def gradient(self, residual: Floats, *, owner: Ints) -> Floats:
        """Return (P, K, r + 1) of residuals (P, K, n), without the penalty."""
        out = np.empty((*residual.shape[:2], self.inputs.shape[2]))
        for index in np.unique(owner):
            mine = owner == index
            rows = residual[mine].reshape(-1, self.count) @ self.inputs[index]
            out[mine] = rows.reshape(-1, residual.shape[1], self.inputs.shape[2])
        return out

    def entropy(self, logits: Floats, *, owner: Ints) -> tuple[Floats, Floats]:
        """Return the mean cross-entropy (P,) of logits (P, K, n), and its slope in them."""
        one_hot = self.one_hot[owner]
        shifted = logits - logits.max(axis=1, keepdims=True)
        right = np.einsum("pkn,pkn->pn", shifted, one_hot)
        np.exp(shifted, out=shifted)
        sums = shifted.sum(axis=1)
        value = (np.log(sums) - right).mean(axis=1)
        shifted /= sums[:, None]
        shifted -= one_hot
        shifted /= self.count
        return value, shifted


def _unsure(slope: Floats, samples: _Samples, *, owner: Ints) -> Floats:
    """Return 1 / K where classes are equally likely, less the surer the problem is, (P, 1, 1)."""
    probability = slope * samples.count + samples.one_hot[owner]
    classes = slope.shape[1]
    left = 1 - np.einsum("pkn,pkn->p", probability, probability) / samples.count
    return _column(np.maximum(left, 1e-9) / max(classes - 1, 1))


def _direction(state: _State) -> Floats:
    """Return the L-BFGS direction (P, K, r + 1)."""
    out = state.gradient.copy()
    shares: list[Floats] = []
    past = [(m, t, _reciprocal(_dot(m, t))) for m, t in zip(state.moves, state.turns, strict=True)]
    for move, turn, reciprocal in past[::-1]:
        shares.append(_dot(move, out) * reciprocal)
        out -= _column(shares[-1]) * turn
    curvature = state.curvature
    out /= curvature
    if past:
        _, turn, reciprocal = past[-1]
        factor = _reciprocal(_dot(turn, turn / curvature) * reciprocal)
        out *= _column(np.where(factor > 0, factor, 1))
    for move, turn, reciprocal in past:
        out += _column(shares.pop() - _dot(turn, out) * reciprocal) * move
    return -out


def _search(state: _State, samples: _Samples, direction: Floats) -> tuple[Floats, Floats]:
    """Move ``state`` along ``direction``.

    Returns:
        The steps (P,), and the cross-entropy's slope in the logits there (P, K, n).
    """
    along = samples.logits(direction, owner=state.owner)
    penalised = state.penalty * direction
    linear, square = _dot(penalised, state.point), _dot(penalised, direction)
    before, slope = samples.entropy(state.logits, owner=state.owner)
    start = _dot(state.gradient, direction)
    count = len(start)
    step, low, high = np.ones(count), np.zeros(count), np.full(count, np.inf)
    low_slope, high_slope = start.copy(), np.full(count, np.inf)
    todo = np.arange(count)
    for _ in range(_MAX_TRIES):
        size = step[todo]
        logits = state.logits[todo] + _column(size) * along[todo]
        value, found = samples.entropy(logits, owner=state.owner[todo])
        rise = value - before[todo] + size * linear[todo] + size**2 / 2 * square[todo]
        here = _dot(found, along[todo]) + linear[todo] + size * square[todo]
        slope[todo] = found
        # Where the loss is convex, less slope of the same sign is always less loss.
        good = (np.abs(here) <= _SLOPE * np.abs(start[todo])) & ((here <= 0) | (rise <= _ROUNDING))
        short, long = todo[here < 0], todo[here >= 0]
        low[short], low_slope[short] = step[short], here[here < 0]
        high[long], high_slope[long] = step[long], here[here >= 0]
        todo = todo[~good]
        if len(todo) == 0:
            break
        width = high[todo] - low[todo]
        with np.errstate(invalid="ignore"):
            share = low_slope[todo] / (low_slope[todo] - high_slope[todo])
            inside = low[todo] + np.clip(share, 0.1, 0.9) * width
        step[todo] = np.where(np.isinf(width), 2 * step[todo], inside)
    state.point = state.point + _column(step) * direction
    state.logits += _column(step) * along
    return step, slope


def minimise(
    inputs: Floats,
    labels: Ints,
    *,
    classes: int,
    strengths: Floats,
    tolerance: float = _GRADIENT,
) -> Optima:
    """Return the optimum of every strength on every set of samples.

    Args:
        inputs: (T, n, r), of mean zero and along their principal axes for few steps; any others
            give the same optima in more.
        labels: (T, n) in [0, classes).
        classes: K.
        strengths: (S,), all positive.
        tolerance: largest component of the gradient at convergence.
    """
    sets, count, width = inputs.shape
    samples = _Samples(inputs, labels, classes=classes)
    problems = sets * len(strengths)
    owner = np.repeat(np.arange(sets), len(strengths))
    penalty = np.zeros((problems, 1, width + 1))
    penalty[:, 0, :width] = np.tile(strengths, sets)[:, None]
    squares = np.einsum("tnr,tnr->tr", samples.inputs, samples.inputs) / count
    logits = np.zeros((problems, classes, count))
    _, slope = samples.entropy(logits, owner=owner)
    state = _State(
        owner=owner,
        place=np.arange(problems),
        penalty=penalty,
        squares=squares[owner][:, None, :],
        unsure=_unsure(slope, samples, owner=owner),
        point=np.zeros((problems, classes, width + 1)),
        logits=logits,
        gradient=samples.gradient(slope, owner=owner),
        moves=[],
        turns=[],
    )
    found = np.zeros((problems, classes, width + 1))
    converged = np.zeros(problems, dtype=np.bool_)
    for _ in range(_MAX_ITERATIONS):
        done = np.abs(state.gradient).max(axis=(1, 2)) <= tolerance
        if done.any():
            found[state.place[done]] = state.point[done]
            converged[state.place[done]] = True
            state.keep(~done)
        if len(state.owner) == 0:
            break
        direction = _direction(state)
        step, slope = _search(state, samples, direction)
        gradient = samples.gradient(slope, owner=state.owner) + state.penalty * state.point
        state.moves = [*state.moves[1 - _HISTORY :], _column(step) * direction]
        state.turns = [*state.turns[1 - _HISTORY :], gradient - state.gradient]
        state.gradient = gradient
        state.unsure = _unsure(slope, samples, owner=state.owner)
    found[state.place] = state.point
    shape = (sets, len(strengths), classes)
    return Optima(
        weight=found[:, :, :width].reshape(*shape, width),
        bias=found[:, :, width].reshape(shape),
        converged=converged.reshape(shape[:2]),
    )
