from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from primus_train.probes.linear import LinearHead, fit_heads, select_head

Floats = npt.NDArray[np.float64]


def clusters(n: int, d: int, k: int = 3, seed: int = 0) -> tuple[Floats, npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    centres = np.random.default_rng(99).normal(size=(k, d))
    return (centres[labels] + rng.normal(size=(n, d))) * np.arange(1, d + 1) + 5, labels


def standardised(x: Floats) -> Floats:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def loss_of(weight: Any, bias: Any, x: Any, labels: Any, strength: float) -> Any:
    entropy = torch.nn.functional.cross_entropy(x @ weight + bias, labels)
    return entropy + strength / 2 * (weight**2).sum()


@pytest.mark.parametrize(("n", "d"), [(60, 5), (9, 40), (5, 5)])
@pytest.mark.parametrize("strength", [1e-2, 1.0])
def test_reaches_the_optimum_that_torch_reaches(n: int, d: int, strength: float) -> None:
    x, labels = clusters(n, d)
    head = fit_heads(x, labels, classes=3, strengths=[strength])[0]
    assert head.converged
    xt, yt = torch.from_numpy(standardised(x)), torch.from_numpy(labels)
    weight = torch.zeros(d, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimizer.zero_grad()
        loss = loss_of(weight, bias, xt, yt, strength)
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    np.testing.assert_allclose(head.weight, weight.detach().numpy(), atol=2e-3)
    ours = loss_of(torch.from_numpy(head.weight), torch.from_numpy(head.bias), xt, yt, strength)
    assert float(ours) == pytest.approx(float(closure().detach()), abs=1e-6)


def test_features_are_standardised_by_the_shots_alone() -> None:
    x, labels = clusters(30, 4)
    head = fit_heads(x, labels, classes=3, strengths=[0.1])[0]
    np.testing.assert_allclose(head.mean, x.mean(axis=0))
    np.testing.assert_allclose(head.scale, x.std(axis=0))
    other = fit_heads(x * 1000 - 3, labels, classes=3, strengths=[0.1])[0]
    new = clusters(50, 4, seed=5)[0]
    np.testing.assert_array_equal(head.predict(new), other.predict(new * 1000 - 3))


def test_constant_features_and_one_sample_a_class_do_no_harm() -> None:
    x = np.array([[1.0, 0.1], [2.0, 0.1]])
    head = fit_heads(x, np.array([0, 1]), classes=2, strengths=[0.1])[0]
    assert head.scale[1] == 1
    assert head.predict(x).tolist() == [0, 1]
    alone = fit_heads(x[:1], np.array([0]), classes=1, strengths=[0.1])[0]
    assert alone.predict(x).tolist() == [0, 0]


def test_separable_classes_are_told_apart_and_shuffled_labels_are_not() -> None:
    x, labels = clusters(300, 8)
    new, truth = clusters(300, 8, seed=1)
    right = fit_heads(x, labels, classes=3, strengths=[1e-2])[0]
    assert (right.predict(new) == truth).mean() > 0.8
    wrong = np.random.default_rng(0).permutation(labels)
    shuffled = fit_heads(x, wrong, classes=3, strengths=[1e-2])[0]
    assert (shuffled.predict(new) == truth).mean() < 0.6


def test_stronger_penalties_give_smaller_weights_in_the_order_asked_for() -> None:
    x, labels = clusters(30, 4)
    strengths = [1.0, 1e-3, 10.0]
    heads = fit_heads(x, labels, classes=3, strengths=strengths)
    assert [h.strength for h in heads] == strengths
    norm = {h.strength: float(np.linalg.norm(h.weight)) for h in heads}
    assert norm[1e-3] > norm[1.0] > norm[10.0]


def test_selection_takes_the_most_accurate_and_on_a_tie_the_stronger() -> None:
    def constant(klass: int, strength: float) -> LinearHead:
        return LinearHead(
            weight=np.zeros((2, 3)),
            bias=np.eye(3)[klass],
            mean=np.zeros(2),
            scale=np.ones(2),
            strength=strength,
            converged=True,
        )

    heads = [constant(0, 10.0), constant(1, 0.1), constant(1, 1.0), constant(2, 5.0)]
    picked = select_head(heads, np.zeros((4, 2)), np.array([1, 1, 0, 2]))
    assert picked is heads[2]


@pytest.mark.parametrize(
    ("rows", "strengths", "message"),
    [(0, [1.0], "at least 1, got 0"), (3, [1.0, 0.0], "strengths must be positive, got 0")],
)
def test_impossible_fits_are_refused(rows: int, strengths: list[float], message: str) -> None:
    x, labels = clusters(6, 2)
    with pytest.raises(ValueError, match=message):
        fit_heads(x[:rows], labels[:rows], classes=3, strengths=strengths)
