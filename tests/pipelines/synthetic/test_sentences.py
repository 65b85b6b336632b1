from itertools import combinations, pairwise

import numpy as np

from pipelines.synthetic.activities import ACTIVITIES, SUB_ACTIONS
from pipelines.synthetic.sentences import VOCABULARY, make_sentence, make_sentences
from pipelines.synthetic.truth import SubActionTruth


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


def say(fault: str | None, *, seconds: float = 60.0) -> list[tuple[float, str]]:
    schedule = (
        SubActionTruth(sub_action=1, start_s=0, end_s=seconds / 2),
        SubActionTruth(sub_action=3, start_s=seconds / 2, end_s=seconds),
    )
    return make_sentences(
        2,
        schedule=schedule,
        first_s=0.5,
        until_s=seconds - 0.5,
        seconds=seconds,
        fault=fault,
        rng=np.random.default_rng(1),
    )


def test_takes_are_told_in_order_and_of_what_is_being_done() -> None:
    said = say(None)
    times = [t_s for t_s, _ in said]
    assert 0.5 <= times[0] < 1.5
    assert times[-1] < 59.5
    assert all(1 <= later - t_s < 3 for t_s, later in pairwise(times))
    for t_s, text in said:
        verbs, _ = VOCABULARY[2][1 if t_s < 30 else 3]
        assert any(verb in text for verb in verbs)


def test_faults_add_their_sentences_behind_the_others() -> None:
    whole = say(None)
    for fault, added in (
        ("text_empty", [(1.0, "")]),
        ("narration_outside", [(-1.0, "C comes in."), (63.0, "C leaves the room.")]),
        ("narration_duplicate", whole[:1]),
        ("imu_gap", []),
    ):
        assert say(fault) == whole + added
    assert len(say("text_scripts")) == len(whole) + 3
    assert len(say("text_long")[-1][1].split()) > 77
