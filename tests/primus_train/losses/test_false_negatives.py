import pytest
import torch
from torch import Tensor

from primus_train.config import FalseNegative
from primus_train.data.facts import END_NS, SENTENCE, START_NS, TAKE, unknown_facts
from primus_train.losses.false_negatives import alike, false_negatives
from primus_train.seeds import make_generator


def segments(*spans: tuple[int, int, int, int]) -> Tensor:
    """Facts from (take, start, end, sentence)."""
    values = unknown_facts(len(spans))
    for place, column in enumerate((TAKE, START_NS, END_NS, SENTENCE)):
        values[:, column] = torch.tensor([span[place] for span in spans])
    return values


def slow(a: list[int], b: list[int], *, kinds: set[str]) -> bool:
    """Whether two segments are alike, by the instants that they hold and the words said."""
    instants = [set(range(s[START_NS], s[END_NS])) for s in (a, b)]
    overlap = a[TAKE] == b[TAKE] != -1 and bool(instants[0] & instants[1])
    sentence = a[SENTENCE] == b[SENTENCE] != -1
    return ("overlap" in kinds and overlap) or ("sentence" in kinds and sentence)


def random_segments(count: int, seed: int) -> Tensor:
    generator = make_generator(seed, "segments")
    take, start, length, sentence = (
        torch.randint(low, high, (count,), generator=generator).tolist()
        for low, high in ((-1, 3), (0, 20), (1, 8), (-1, 5))
    )
    return segments(
        *[(t, s, s + n, w) for t, s, n, w in zip(take, start, length, sentence, strict=True)]
    )


@pytest.mark.parametrize("kinds", [(), ("overlap",), ("sentence",), ("overlap", "sentence")])
def test_matches_a_loop_over_instants_and_words(kinds: tuple[FalseNegative, ...]) -> None:
    a, b = random_segments(40, 0), random_segments(30, 1)
    wanted = [[slow(x, y, kinds=set(kinds)) for y in b.tolist()] for x in a.tolist()]
    found = alike(a, b, kinds=kinds)
    assert found.tolist() == wanted
    assert bool(found.any()) == bool(kinds)
    assert not found.all()


def test_segments_that_only_touch_do_not_overlap() -> None:
    a = segments((0, 0, 5, -1), (0, 5, 10, -1), (1, 0, 5, -1))
    assert not alike(a[:1], a[1:], kinds=("overlap",)).any()
    later = segments((0, 4, 9, -1))
    assert alike(a, later, kinds=("overlap",))[:, 0].tolist() == [True, True, False]


def test_the_unknown_is_like_nothing() -> None:
    nothing = unknown_facts(3)
    assert not alike(nothing, nothing, kinds=("overlap", "sentence")).any()


def test_a_segment_is_no_false_negative_of_itself() -> None:
    facts = random_segments(20, 0)
    found = false_negatives(facts, kinds=("overlap", "sentence"))
    assert found is not None
    assert not found.diagonal().any()
    off = ~torch.eye(20, dtype=torch.bool)
    assert torch.equal(found, alike(facts, facts, kinds=("overlap", "sentence")) & off)
    assert torch.equal(found, found.T)


def test_none_are_looked_for_unless_asked() -> None:
    assert false_negatives(random_segments(3, 0), kinds=()) is None
