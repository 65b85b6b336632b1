from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from primus_train.probes.softmax import minimise

Floats = npt.NDArray[np.float64]
STRENGTHS = np.array([1e-3, 0.1, 10.0])


def problems(
    sets: int, n: int, width: int, *, classes: int = 3, gap: float = 1.0, seed: int = 0
) -> tuple[Floats, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = np.stack([rng.permutation(np.arange(n) % classes) for _ in range(sets)])
    centres = gap * rng.normal(size=(classes, width))
    return centres[labels] + rng.normal(size=(sets, n, width)), labels


def objective(flat: Floats, x: Floats, labels: Any, strength: float, classes: int) -> float:
    """The objective from its definition."""
    weight, bias = flat[:-classes].reshape(classes, -1), flat[-classes:]
    logits = x @ weight.T + bias
    entropy = -(logits[np.arange(len(x)), labels] - logsumexp(logits, axis=1)).mean()
    return float(entropy + strength / 2 * (weight**2).sum())


def slope(flat: Floats, x: Floats, labels: Any, strength: float, classes: int) -> Floats:
    weight, bias = flat[:-classes].reshape(classes, -1), flat[-classes:]
    logits = x @ weight.T + bias
    off = np.exp(logits - logsumexp(logits, axis=1, keepdims=True)) - np.eye(classes)[labels]
    out = np.concatenate([(off.T @ x / len(x) + strength * weight).ravel(), off.mean(axis=0)])
    return np.asarray(out, dtype=np.float64)


@pytest.mark.parametrize(
    ("n", "width", "gap"),
    [
        pytest.param(40, 5, 1.0, id="tall"),
        pytest.param(6, 6, 1.0, id="square"),
        pytest.param(9, 20, 0.0, id="wide"),
        pytest.param(30, 4, 5.0, id="separable"),
    ],
)
def test_every_problem_has_the_optimum_that_scipy_finds_for_it_alone(
    n: int, width: int, gap: float
) -> None:
    x, labels = problems(2, n, width, gap=gap)
    got = minimise(x, labels, classes=3, strengths=STRENGTHS, tolerance=1e-9)
    assert got.converged.all()
    for t in range(2):
        for s, strength in enumerate(STRENGTHS):
            given = (x[t], labels[t], float(strength), 3)
            alone = minimize(
                objective,
                np.zeros(3 * (width + 1)),
                args=given,
                jac=slope,
                method="BFGS",
                options={"gtol": 1e-9, "maxiter": 5000},
            )
            ours = np.concatenate([got.weight[t, s].ravel(), got.bias[t, s]])
            assert objective(ours, *given) == pytest.approx(alone.fun, abs=1e-10)
            np.testing.assert_allclose(ours, alone.x, atol=1e-5)


def test_the_default_tolerance_is_within_1e_5_of_the_optimum() -> None:
    x, labels = problems(3, 60, 30, gap=0.3)
    rough = minimise(x, labels, classes=3, strengths=np.array([1e-4, 1.0]))
    exact = minimise(x, labels, classes=3, strengths=np.array([1e-4, 1.0]), tolerance=1e-10)
    assert rough.converged.all()
    for t in range(3):
        for s, strength in enumerate((1e-4, 1.0)):
            values = [
                objective(
                    np.concatenate([o.weight[t, s].ravel(), o.bias[t, s]]),
                    x[t],
                    labels[t],
                    strength,
                    3,
                )
                for o in (rough, exact)
            ]
            assert values[0] == pytest.approx(values[1], abs=1e-6)


def test_a_problem_does_not_know_of_the_others() -> None:
    x, labels = problems(3, 12, 4)
    together = minimise(x, labels, classes=3, strengths=STRENGTHS, tolerance=1e-9)
    for t in range(3):
        alone = minimise(
            x[t : t + 1], labels[t : t + 1], classes=3, strengths=STRENGTHS[1:2], tolerance=1e-9
        )
        np.testing.assert_allclose(together.weight[t, 1], alone.weight[0, 0], atol=1e-7)
    swapped = minimise(x, labels[::-1], classes=3, strengths=STRENGTHS)
    assert np.abs(swapped.weight[0] - together.weight[0]).max() > 0.1


def test_badly_scaled_inputs_are_no_trouble() -> None:
    x, labels = problems(1, 80, 12)
    x *= 10.0 ** -np.arange(12)
    got = minimise(x, labels, classes=3, strengths=np.array([1e-6]))
    assert got.converged.all()


def test_a_tolerance_beyond_rounding_ends_unconverged_at_the_optimum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, labels = problems(2, 12, 4)
    exact = minimise(x, labels, classes=3, strengths=STRENGTHS, tolerance=1e-10)
    monkeypatch.setattr("primus_train.probes.softmax._MAX_ITERATIONS", 80)
    got = minimise(x, labels, classes=3, strengths=STRENGTHS, tolerance=0.0)
    assert not got.converged.all()
    np.testing.assert_allclose(got.weight, exact.weight, atol=1e-6)


def test_one_class_leaves_all_at_zero() -> None:
    x, _ = problems(1, 4, 2)
    got = minimise(x, np.zeros((1, 4), dtype=np.int64), classes=1, strengths=np.ones(1))
    assert got.converged.all()
    assert not got.weight.any()
    assert not got.bias.any()
