import numpy as np
import numpy.typing as npt
import pytest
import torch

from primus_train.probes.linear import LinearHeads, fit_heads, select_heads

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def clusters(n: int, d: int, k: int = 3, seed: int = 0) -> tuple[Floats, Ints]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    centres = np.random.default_rng(99).normal(size=(k, d))
    return (centres[labels] + rng.normal(size=(n, d))) * np.arange(1, d + 1) + 5, labels


def fitted(x: Floats, labels: Ints, *strengths: float, classes: int = 3) -> LinearHeads:
    return fit_heads(x[None], labels[None], classes=classes, strengths=strengths)


@pytest.mark.parametrize(("n", "d"), [(60, 5), (9, 40), (5, 5)])
@pytest.mark.parametrize("strength", [1e-2, 1.0])
def test_reaches_the_optimum_that_torch_reaches(n: int, d: int, strength: float) -> None:
    x, labels = clusters(n, d)
    head = fitted(x, labels, strength)
    assert head.converged.all()
    scale, mean = x.std(axis=0), x.mean(axis=0)
    xt, yt = torch.from_numpy((x - mean) / scale), torch.from_numpy(labels)
    weight = torch.zeros(d, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=300,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-9,
        tolerance_change=0,
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(xt @ weight + bias, yt)
        loss = loss + strength / 2 * (weight**2).sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(head.weight[0].T * scale[:, None], weight.detach(), atol=1e-4)
    ours = x @ head.weight[0].T + head.bias[0]
    np.testing.assert_allclose(ours, (xt @ weight + bias).detach().numpy(), atol=1e-3)


def test_sets_and_strengths_are_fitted_as_if_alone() -> None:
    sets = [clusters(12, 20, seed=seed) for seed in range(3)]
    x, labels = np.stack([s[0] for s in sets]), np.stack([s[1] for s in sets])
    heads = fit_heads(x, labels, classes=3, strengths=(0.1, 1e-2))
    assert heads.strength.tolist() == [0.1, 1e-2] * 3
    new = clusters(30, 20, seed=9)[0]
    for t in range(3):
        for s, strength in enumerate((0.1, 1e-2)):
            alone = fitted(x[t], labels[t], strength)
            np.testing.assert_allclose(heads.weight[2 * t + s], alone.weight[0], atol=1e-5)
            np.testing.assert_array_equal(heads.predict(new)[2 * t + s], alone.predict(new)[0])


def test_features_are_standardised_by_the_shots_alone() -> None:
    x, labels = clusters(30, 4)
    head = fitted(x, labels, 0.1)
    other = fitted(x * 1000 - 3, labels, 0.1)
    np.testing.assert_allclose(other.weight * 1000, head.weight, rtol=1e-6, atol=1e-9)
    new = clusters(50, 4, seed=5)[0]
    np.testing.assert_array_equal(head.predict(new), other.predict(new * 1000 - 3))


def test_constant_features_and_one_sample_a_class_do_no_harm() -> None:
    x = np.array([[1.0, 0.1], [2.0, 0.1]])
    head = fitted(x, np.array([0, 1]), 0.1, classes=2)
    assert not head.weight[0, :, 1].any()
    assert head.predict(x).tolist() == [[0, 1]]
    alone = fitted(x[:1], np.array([0]), 0.1, classes=1)
    assert alone.predict(x).tolist() == [[0, 0]]


def test_separable_classes_are_told_apart_and_shuffled_labels_are_not() -> None:
    x, labels = clusters(300, 8)
    new, truth = clusters(300, 8, seed=1)
    assert (fitted(x, labels, 1e-2).predict(new) == truth).mean() > 0.8
    wrong = np.random.default_rng(0).permutation(labels)
    assert (fitted(x, wrong, 1e-2).predict(new) == truth).mean() < 0.6


def test_blocks_of_rows_are_classified_like_all_at_once() -> None:
    x, labels = clusters(30, 4)
    heads = fitted(x, labels, 0.1, 1e-3)
    new = clusters(5000, 4, seed=2)[0]
    logits = np.einsum("nd,hkd->hnk", new, heads.weight) + heads.bias[:, None]
    np.testing.assert_array_equal(heads.predict(new), logits.argmax(axis=2))
    assert heads.predict(new[:0]).shape == (2, 0)


def test_stronger_penalties_give_smaller_weights_in_the_order_asked_for() -> None:
    x, labels = clusters(30, 4)
    heads = fitted(x, labels, 1.0, 1e-3, 10.0)
    norm = dict(zip(heads.strength, np.linalg.norm(heads.weight, axis=(1, 2)), strict=True))
    assert norm[1e-3] > norm[1.0] > norm[10.0]


def test_selection_takes_the_most_accurate_and_on_a_tie_the_stronger() -> None:
    said = [0, 1, 1, 2, 2, 0, 1, 1]  # two sets of four strengths
    heads = LinearHeads(
        weight=np.zeros((8, 3, 2)),
        bias=np.eye(3)[said],
        strength=np.array([10.0, 0.1, 1.0, 5.0, 9.0, 7.0, 0.1, 0.2]),
        converged=np.ones(8, dtype=np.bool_),
    )
    picked = select_heads(heads, np.zeros((4, 2)), np.array([1, 1, 0, 2]), sets=2)
    assert picked.strength.tolist() == [1.0, 0.2]
    assert len(picked) == 2


@pytest.mark.parametrize(
    ("rows", "strengths", "message"),
    [(0, [1.0], r"at least 1, got \(1, 0\)"), (3, [1.0, 0.0], "strengths must be positive, got 0")],
)
def test_impossible_fits_are_refused(rows: int, strengths: list[float], message: str) -> None:
    x, labels = clusters(6, 2)
    with pytest.raises(ValueError, match=message):
        fitted(x[:rows], labels[:rows], *strengths)
