from itertools import permutations

import pytest
import torch
from torch import Tensor

from primus_train.retrieval import retrieval_scores
from primus_train.seeds import make_generator


def slow(query: Tensor, items: Tensor) -> dict[str, float]:
    """Ranks by sorting, without ties."""
    ranks = []
    for i, q in enumerate(query):
        similarity = [float(torch.dot(q, k) / q.norm() / k.norm()) for k in items]
        ranks.append(sorted(similarity, reverse=True).index(similarity[i]) + 1)
    n = len(ranks)
    return {
        "r_at_1": sum(r <= 1 for r in ranks) / n,
        "r_at_5": sum(r <= 5 for r in ranks) / n,
        "r_at_10": sum(r <= 10 for r in ranks) / n,
        "mrr": sum(1 / r for r in ranks) / n,
    }


@pytest.mark.parametrize("block", [1, 7, 30, 1024])
def test_matches_sorting_whatever_the_block(block: int) -> None:
    generator = make_generator(0, "r")
    query = torch.randn(30, 4, generator=generator)
    items = query + 1.5 * torch.randn(30, 4, generator=generator)
    got = retrieval_scores(query, items, block=block)
    wanted = slow(query, items)
    assert 0 < wanted["r_at_1"] < wanted["r_at_5"] < wanted["r_at_10"] < 1
    for name, value in wanted.items():
        assert getattr(got, name) == pytest.approx(value), name
    assert got.n == 30
    assert got.chance == pytest.approx(1 / 30)


def test_a_constant_encoder_scores_exactly_chance() -> None:
    items = torch.randn(20, 4, generator=make_generator(0, "r"))
    # All items equal too: everything ties.
    got = retrieval_scores(torch.ones(20, 4), items[:1].expand(20, 4))
    assert got.r_at_1 == pytest.approx(1 / 20)
    assert got.r_at_5 == pytest.approx(5 / 20)
    assert got.r_at_10 == pytest.approx(10 / 20)
    assert got.mrr == pytest.approx(sum(1 / r for r in range(1, 21)) / 20)


def test_two_equal_items_share_their_places() -> None:
    items = torch.eye(4)
    items[1] = items[0]
    got = retrieval_scores(items.clone(), items)
    # Two queries are sure, two toss a coin between first and second.
    assert got.r_at_1 == pytest.approx((1 + 1 + 0.5 + 0.5) / 4)
    assert got.mrr == pytest.approx((1 + 1 + 0.75 + 0.75) / 4)
    assert got.r_at_5 == 1


def test_perfect_and_shuffled_pairing() -> None:
    eye = torch.eye(12)
    assert retrieval_scores(eye, 3 * eye).r_at_1 == 1
    shuffled = retrieval_scores(eye, eye.roll(1, 0))
    assert shuffled.r_at_1 == 0
    assert shuffled.mrr < 0.3


def test_a_gallery_of_one_is_always_found() -> None:
    got = retrieval_scores(torch.ones(1, 3), -torch.ones(1, 3))
    assert (got.r_at_1, got.mrr, got.chance) == (1, 1, 1)


def test_an_empty_gallery_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0 and 0"):
        retrieval_scores(torch.ones(0, 3), torch.ones(0, 3))


def every_order(query: Tensor, items: Tensor, answers: list[int]) -> dict[str, float]:
    """Mean over all orders that similarity leaves open, of the best own item's rank."""
    sums = dict.fromkeys(("r_at_1", "r_at_5", "r_at_10", "mrr"), 0.0)
    for i, q in enumerate(query):
        similarity = [round(float(torch.dot(q, k) / q.norm() / k.norm()), 4) for k in items]
        ranks = []
        for order in permutations(range(len(items))):
            ranking = sorted(order, key=lambda j: -similarity[j])  # stable: ties as in the order
            ranks.append(1 + min(ranking.index(j) for j, a in enumerate(answers) if a == i))
        for k in (1, 5, 10):
            sums[f"r_at_{k}"] += sum(r <= k for r in ranks) / len(ranks)
        sums["mrr"] += sum(1 / r for r in ranks) / len(ranks)
    return {name: total / len(query) for name, total in sums.items()}


@pytest.mark.parametrize("block", [1, 2, 1024])
def test_the_best_of_several_answers_counts_and_ties_are_averaged(block: int) -> None:
    generator = make_generator(4, "answers")
    # Few different directions, so that own and other items tie in every way.
    items = torch.randint(-1, 2, (7, 2), generator=generator).float() + 0.1
    answers = [0, 1, 0, 2, 1, 0, 1]
    query = torch.tensor([[1.0, 0.3], [-1.0, 0.2], [0.1, -1.0]])
    got = retrieval_scores(query, items, answers=torch.tensor(answers), block=block)
    wanted = every_order(query, items, answers)
    assert 0 < wanted["r_at_1"] < wanted["mrr"] < wanted["r_at_5"]
    assert (3 * wanted["r_at_1"]) % 1  # a tie for the first place, between own and other items
    for name, value in wanted.items():
        assert getattr(got, name) == pytest.approx(value), name
    assert (got.n, got.queries, got.chance) == (7, 3, pytest.approx(1 / 3))


def test_a_constant_encoder_scores_chance_with_several_answers_too() -> None:
    answers = torch.tensor([0, 0, 0, 1, 1, 2])
    got = retrieval_scores(torch.ones(3, 2), torch.ones(6, 2), answers=answers)
    # (3 + 2 + 1) / 6 shares of the first place, over 3 queries.
    assert got.r_at_1 == pytest.approx(got.chance) == pytest.approx(1 / 3)
    assert got.r_at_10 == pytest.approx(1)


def test_answers_that_are_shuffled_find_less() -> None:
    answers = torch.arange(12) // 2
    query = torch.eye(6)
    assert retrieval_scores(query, query[answers], answers=answers).r_at_1 == 1
    assert retrieval_scores(query, query[answers], answers=answers.roll(2)).r_at_1 == 0


@pytest.mark.parametrize("answers", [[0, 0], [0, 2], [0, 1, 1]])
def test_a_query_without_an_item_is_refused(answers: list[int]) -> None:
    with pytest.raises(ValueError, match="leave none of 2 without"):
        retrieval_scores(torch.ones(2, 3), torch.ones(2, 3), answers=torch.tensor(answers))
