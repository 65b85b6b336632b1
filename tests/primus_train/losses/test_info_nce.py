import math

import pytest
import torch
from torch import Tensor

from primus_train.losses.info_nce import info_nce
from primus_train.seeds import make_generator


def pair(B: int = 7, D: int = 5) -> tuple[Tensor, Tensor]:
    generator = make_generator(0, "pair")
    query = torch.randn(B, D, generator=generator, dtype=torch.float64)
    return query, query + 0.5 * torch.randn(B, D, generator=generator, dtype=torch.float64)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def slow(query: Tensor, keys: Tensor, *, temperature: float, mask: list[bool]) -> float:
    q, k = query.tolist(), keys.tolist()
    used = [i for i, use in enumerate(mask) if use]
    total = 0.0
    for i in used:
        denominator = 0.0
        for j in used:
            denominator += math.exp(cosine(q[i], k[j]) / temperature)
        total -= math.log(math.exp(cosine(q[i], k[i]) / temperature) / denominator)
    return total / len(used)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize(
    "mask",
    [
        pytest.param([True] * 7, id="all"),
        pytest.param([True, False, True, True, False, True, False], id="some"),
        pytest.param([False] * 6 + [True], id="one"),
    ],
)
def test_matches_the_double_loop(temperature: float, mask: list[bool]) -> None:
    query, keys = pair()
    got = info_nce(query, keys, temperature=temperature, mask=torch.tensor(mask))
    assert float(got) == pytest.approx(slow(query, keys, temperature=temperature, mask=mask))
    both = info_nce(
        query, keys, temperature=temperature, mask=torch.tensor(mask), direction="symmetric"
    )
    back = slow(keys, query, temperature=temperature, mask=mask)
    assert float(both) == pytest.approx(float(got) + back)


def test_one_way_is_not_the_other_way() -> None:
    query, keys = pair()
    there = float(info_nce(query, keys, temperature=0.1))
    back = float(info_nce(keys, query, temperature=0.1))
    assert abs(there - back) > 1e-3


def test_equal_embeddings_cost_log_of_the_batch() -> None:
    same = torch.ones(6, 4)
    assert float(info_nce(same, same, temperature=0.1)) == pytest.approx(math.log(6))


def test_orthogonal_pairs_have_a_closed_form() -> None:
    eye = torch.eye(4)
    wanted = math.log(1 + 3 * math.exp(-10))
    assert float(info_nce(eye, 5 * eye, temperature=0.1)) == pytest.approx(wanted, rel=1e-3)


def test_shuffled_pairing_costs_more() -> None:
    query, keys = pair()
    right = float(info_nce(query, keys, temperature=0.1))
    for shift in range(1, 7):
        assert float(info_nce(query, keys.roll(shift, 0), temperature=0.1)) > right


def test_masked_rows_get_no_gradient() -> None:
    query, keys = (t.requires_grad_() for t in pair())
    mask = torch.tensor([True, True, False, True, True, True, True])
    info_nce(query, keys, temperature=0.1, mask=mask, direction="symmetric").backward()
    assert query.grad is not None
    assert keys.grad is not None
    assert float(query.grad[2].abs().sum()) == 0
    assert float(keys.grad[2].abs().sum()) == 0
    assert float(query.grad[3].abs().sum()) > 0


def test_an_empty_batch_is_zero_and_differentiable() -> None:
    query, keys = (t.requires_grad_() for t in pair())
    loss = info_nce(query, keys, temperature=0.1, mask=torch.zeros(7, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0
    assert query.grad is not None
    assert float(query.grad.abs().sum()) == 0


def test_masked_rows_take_no_part_even_where_they_win_or_have_no_direction() -> None:
    query, keys = pair()
    mask = torch.tensor([True, True, False, True, True, False, True])
    wanted = info_nce(query[mask], keys[mask], temperature=0.01)
    keys[2] = query[0]  # would be the best key of all
    keys[5], query[5] = 0, 0
    query, keys = query.requires_grad_(), keys.requires_grad_()
    got = info_nce(query, keys, temperature=0.01, mask=mask)
    got.backward()
    assert float(got.detach()) == pytest.approx(float(wanted))
    for leaf in (query, keys):
        assert leaf.grad is not None
        assert torch.isfinite(leaf.grad).all()
        assert not leaf.grad[~mask].any()


def test_masked_gradients_are_those_of_the_rows_alone() -> None:
    mask = torch.tensor([True, False, True, True, False, True, True])
    alone = [t[mask].requires_grad_() for t in pair()]
    info_nce(*alone, temperature=0.1, direction="symmetric").backward()
    query, keys = (t.requires_grad_() for t in pair())
    info_nce(query, keys, temperature=0.1, mask=mask, direction="symmetric").backward()
    for leaf, small in zip((query, keys), alone, strict=True):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad[mask], small.grad)
