from typing import Any

import pytest

from pipelines.synthetic.narrate import make_annotations
from pipelines.synthetic.plan import plan_dataset
from pipelines.synthetic.sentences import VOCABULARY
from pipelines.synthetic.truth import DatasetTruth, frame_device_ns, sub_action_at


@pytest.fixture(scope="module")
def truth() -> DatasetTruth:
    return plan_dataset(takes=32, seconds=40, seed=7)


@pytest.fixture(scope="module")
def documents(truth: DatasetTruth) -> dict[str, dict[str, Any]]:
    return {split: make_annotations(truth, file_split=split).document for split in ("train", "val")}


def test_every_take_stands_in_one_file_and_one_list_has_no_take(
    truth: DatasetTruth, documents: dict[str, dict[str, Any]]
) -> None:
    known = {take.take_uid: take.split for take in truth.takes}
    listed = [(uid, split) for split, doc in documents.items() for uid in doc["annotations"]]
    assert sorted(uid for uid, _ in listed if uid in known) == sorted(known)
    assert all(
        (known[uid] == "train") == (split == "train") for uid, split in listed if uid in known
    )
    assert len([uid for uid, _ in listed if uid not in known]) == 2


def test_counts_are_what_a_plain_loop_finds(
    truth: DatasetTruth, documents: dict[str, dict[str, Any]]
) -> None:
    known = {take.take_uid for take in truth.takes}
    counted = {"accepted": 0, "beyond_end": 0, "rejected_passes": 0, "unknown_take": 0}
    for document in documents.values():
        for uid, passes in document["annotations"].items():
            for entry in passes:
                if uid not in known:
                    counted["unknown_take"] += len(entry["descriptions"])
                elif entry["rejected"]:
                    counted["rejected_passes"] += 1
                    assert entry["descriptions"] == []
                else:
                    counted["accepted"] += len(entry["descriptions"])
                    counted["beyond_end"] += sum(
                        d["timestamp"] >= 40 for d in entry["descriptions"]
                    )
    stated: dict[str, int] = {}
    for split in ("train", "val"):
        for kind, count in make_annotations(truth, file_split=split).counts.items():
            stated[kind] = stated.get(kind, 0) + count
    assert stated == counted
    assert counted["beyond_end"] == 4
    assert counted["rejected_passes"] == 7


def test_passes_look_like_the_published_ones(documents: dict[str, dict[str, Any]]) -> None:
    lists = [p for doc in documents.values() for p in doc["annotations"].values()]
    accepted = [[e for e in passes if not e["rejected"]] for passes in lists]
    assert {len(passes) for passes in accepted} == {1, 2, 3}
    assert any(passes[0]["rejected"] for passes in lists)
    descriptions = [d for passes in accepted for e in passes for d in e["descriptions"]]
    for entry in (e for passes in accepted for e in passes):
        stamps = [float(d["timestamp"]) for d in entry["descriptions"]]
        assert stamps == sorted(stamps)
        assert stamps[0] >= 0
        assert 12 <= len(stamps) <= 60
    assert {d["subject"] for d in descriptions} == {"C", "O", None}
    assert {d["unsure"] for d in descriptions} == {True, False, None}
    assert {type(d["timestamp"]) for d in descriptions} == {int, float}
    assert {d["ego_visible"] for d in descriptions} == {True, False, None}
    assert set(descriptions[0]) == {
        "text",
        "timestamp",
        "subject",
        "ego_visible",
        "best_exo",
        "unsure",
    }


def test_sentences_follow_the_sub_action_seen(
    truth: DatasetTruth, documents: dict[str, dict[str, Any]]
) -> None:
    right, wrong = 0, 0
    for take in truth.takes:
        passes = documents["train" if take.split == "train" else "val"]["annotations"]
        frames = frame_device_ns(take)
        for d in (d for e in passes[take.take_uid] for d in e["descriptions"]):
            if d["timestamp"] >= 40 or d["subject"] == "O":
                continue
            at = sub_action_at(take, int(frames[min(int(d["timestamp"] * 30), 1199)]))
            spoken = {
                number
                for number, (verbs, things) in enumerate(VOCABULARY[take.activity])
                if any(f"{verb} {thing}" in d["text"] for verb in verbs for thing in things)
            }
            assert len(spoken) == 1
            right += at in spoken
            wrong += at not in spoken
    # Said a few tenths of a second off: some fall beyond a switch.
    assert 0 < wrong < 0.1 * right
