from itertools import combinations

import numpy as np

from pipelines.synthetic.activities import ACTIVITIES, SUB_ACTIONS
from pipelines.synthetic.sentences import VOCABULARY, make_sentence


def test_every_sub_action_has_words_of_its_own() -> None:
    assert len(VOCABULARY) == len(ACTIVITIES)
    phrases = []
    for activity in VOCABULARY:
        assert len(activity) == len(SUB_ACTIONS)
        for verbs, things in activity:
            phrases.append({f"{verb} {thing}" for verb in verbs for thing in things})
    for one, other in combinations(phrases, 2):
        assert not one & other


def test_sentences_come_from_their_sub_action_and_slip_now_and_then() -> None:
    rng = np.random.default_rng(0)
    texts = [make_sentence(5, sub_action=2, rng=rng) for _ in range(600)]
    verbs, things = VOCABULARY[5][2]
    for text in texts:
        assert any(f"{verb} {thing}" in text for verb in verbs for thing in things)
        assert text.startswith("C")
        assert text.rstrip("\n").endswith(".")
    assert 0 < sum(text.endswith("\n") for text in texts) < 20
    assert 0 < sum(not text.startswith("C ") for text in texts) < 20
    assert len(set(texts)) > 12
