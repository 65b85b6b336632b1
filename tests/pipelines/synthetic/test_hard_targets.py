import numpy as np
import numpy.typing as npt
import pytest

from pipelines.synthetic.hard_targets import HardSentence, draw_hard_sentence, make_hard_frames

DIM = 64


def takes_of(activity: int, *, count: int) -> npt.NDArray[np.float64]:
    """Unit embeddings of two windows of sub-action 0 and one of 1 of each take: (count, 3, D)."""
    found = []
    for k in range(count):
        rng = np.random.default_rng([7, activity, k])
        frames = make_hard_frames(activity, sub_actions=(0, 0, 1), frames_each=10, dim=DIM, rng=rng)
        assert frames.dtype == np.float16
        assert frames.shape == (30, DIM)
        found.append(frames.astype(np.float64).reshape(3, 10, DIM).mean(axis=1))
    pooled = np.array(found)
    unit: npt.NDArray[np.float64] = pooled / np.linalg.norm(pooled, axis=2, keepdims=True)
    return unit


def test_video_tells_the_activity_behind_the_take() -> None:
    # Squared lengths: activity 1, sub-action 0.49, take 1.69, moment 0.36, pooled frames 0.025.
    whole = 1 + 0.49 + 1.69 + 0.36 + 0.025
    here, there = takes_of(0, count=60), takes_of(3, count=60)

    def mean_cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
        return float((a * b).sum(axis=1).mean())

    one_take = mean_cosine(here[:, 0], here[:, 1])
    other_take = mean_cosine(here[:-1, 0], here[1:, 0])
    other_step = mean_cosine(here[:-1, 0], here[1:, 2])
    assert one_take == pytest.approx((1 + 0.49 + 1.69) / whole, abs=0.05)
    # Two fixed directions of 64 numbers are not quite at right angles.
    assert other_take == pytest.approx(1.49 / whole, abs=0.12)
    assert one_take > other_take > other_step > mean_cosine(here[:, 0], there[:, 0]) + 0.1


def test_a_sentence_is_one_text_and_one_embedding_whenever_it_is_said() -> None:
    one = HardSentence(2, 1, 0)
    assert one.text == "does step 2 of climb rock slowly"
    assert HardSentence(2, 1, 0).embedding(DIM).tobytes() == one.embedding(DIM).tobytes()
    texts = {HardSentence(a, s, h).text for a in range(8) for s in range(4) for h in range(6)}
    assert len(texts) == 8 * 4 * 6

    def cosine(other: HardSentence) -> float:
        x, y = (s.embedding(DIM).astype(np.float64) for s in (one, other))
        return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))

    assert cosine(HardSentence(2, 1, 3)) > 0.5
    assert cosine(HardSentence(2, 1, 3)) > cosine(HardSentence(2, 3, 0)) + 0.1


def test_a_fifth_of_the_sentences_are_about_something_else() -> None:
    rng = np.random.default_rng(0)
    said = [draw_hard_sentence(4, sub_action=2, rng=rng) for _ in range(4000)]
    wrong = np.mean([(s.activity, s.sub_action) != (4, 2) for s in said])
    # One in 32 of those drawn blindly is true all the same.
    assert wrong == pytest.approx(0.2 * 31 / 32, abs=0.02)
    assert {s.activity for s in said} == set(range(8))
    assert {s.how for s in said} == set(range(6))
