import math
from collections.abc import Collection
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from primus_train.losses.info_nce import info_nce
from primus_train.seeds import make_generator


def pair(B: int = 7, D: int = 5) -> tuple[Tensor, Tensor]:
    generator = make_generator(0, "pair")
    query = torch.randn(B, D, generator=generator, dtype=torch.float64)
    return query, query + 0.5 * torch.randn(B, D, generator=generator, dtype=torch.float64)


def cosine(a: list[float], b: list[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def slow(
    query: Tensor,
    keys: Tensor,
    *,
    temperature: float,
    mask: list[bool],
    dropped: Collection[tuple[int, int]] = (),
) -> float:
    q, k = query.tolist(), keys.tolist()
    used = [i for i, use in enumerate(mask) if use]
    total = 0.0
    for i in used:
        denominator = 0.0
        for j in used:
            if (i, j) in dropped:
                continue
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


DROPPED = {(0, 1), (1, 0), (3, 6), (5, 2)}


def as_matrix(pairs: Collection[tuple[int, int]]) -> Tensor:
    return torch.tensor([[(i, j) in pairs for j in range(7)] for i in range(7)])


@pytest.mark.parametrize("mask", [[True] * 7, [True, True, False, True, True, True, True]])
def test_dropped_pairs_are_no_negatives_and_keep_their_positives(mask: list[bool]) -> None:
    query, keys = pair()
    args: dict[str, Any] = {"temperature": 0.2, "dropped": as_matrix(DROPPED)}
    wanted = slow(query, keys, temperature=0.2, mask=mask, dropped=DROPPED)
    assert float(info_nce(query, keys, mask=torch.tensor(mask), **args)) == pytest.approx(wanted)
    if all(mask):
        assert float(info_nce(query, keys, **args)) == pytest.approx(wanted)
    transposed = {(j, i) for i, j in DROPPED}
    back = slow(keys, query, temperature=0.2, mask=mask, dropped=transposed)
    both = info_nce(query, keys, mask=torch.tensor(mask), direction="symmetric", **args)
    assert float(both) == pytest.approx(wanted + back)


def test_a_key_dropped_by_all_others_gets_its_own_querys_gradient_alone() -> None:
    query, keys = (t.requires_grad_() for t in pair())
    only = as_matrix({(i, 4) for i in range(7) if i != 4})
    (got,) = torch.autograd.grad(info_nce(query, keys, temperature=0.1, dropped=only), keys)
    logits = F.normalize(query, dim=1)[4] @ F.normalize(keys, dim=1).T / 0.1
    (wanted,) = torch.autograd.grad(-torch.log_softmax(logits, dim=0)[4] / 7, keys)
    assert torch.allclose(got[4], wanted[4])
    assert not torch.allclose(got[3], wanted[3])


def test_a_query_with_all_negatives_dropped_costs_nothing() -> None:
    query, keys = pair()
    everything = ~torch.eye(7, dtype=torch.bool)
    assert float(info_nce(query, keys, temperature=0.1, dropped=everything)) == 0
