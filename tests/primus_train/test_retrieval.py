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
