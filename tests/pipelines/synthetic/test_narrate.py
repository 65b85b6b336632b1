from typing import Any

import pytest

from pipelines.synthetic.commentary import make_commentary
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


ANNOTATION_FAULTS = (
    "unknown_take",
    "passes_rejected",
    "narration_outside",
    "narration_duplicate",
    "text_empty",
    "text_long",
    "text_scripts",
)


def of_take(truth: DatasetTruth, uid: str) -> list[dict[str, Any]]:
    for split in ("train", "val"):
        passes = make_annotations(truth, file_split=split).document["annotations"].get(uid)
        if passes is not None:
            return list(passes)
    return []


@pytest.mark.parametrize("fault", ANNOTATION_FAULTS)
def test_fault_is_in_its_takes_first_pass_and_nowhere_else(fault: str) -> None:
    clean = plan_dataset(takes=6, seconds=20, seed=2)
    spoilt = plan_dataset(takes=6, seconds=20, seed=2, faults=[fault])
    *others, take = spoilt.takes
    assert take.fault == fault
    for other in others:
        assert of_take(spoilt, other.take_uid) == of_take(clean, other.take_uid) != []
    before, after = (
        [d for e in of_take(truth, take.take_uid) if not e["rejected"] for d in e["descriptions"]]
        for truth in (clean, spoilt)
    )
    changed = [d for d in after if d not in before]
    if fault == "unknown_take":
        assert after == before
        uids = {
            uid
            for split in ("train", "val")
            for uid in make_annotations(spoilt, file_split=split).document["annotations"]
        }
        assert len(uids - {other.take_uid for other in spoilt.takes}) == 3
    elif fault == "passes_rejected":
        assert before
        assert after == []
        assert all(e["rejected"] and not e["descriptions"] for e in of_take(spoilt, take.take_uid))
    elif fault == "narration_outside":
        assert [d["timestamp"] for d in changed] == [-1.5, 22.5]
    elif fault == "narration_duplicate":
        assert changed == []
        assert len(after) == len(before) + 1
        assert sum(after.count(d) == 2 for d in before) == 1
    else:
        (texts,) = ({d["text"] for d in changed},)
        assert len(after) == len(before)
        if fault == "text_empty":
            assert texts == {""}
        elif fault == "text_long":
            assert min(len(text.split()) for text in texts) > 90
        else:
            assert len(texts) == 4
            assert all(max(map(ord, text)) > 0x400 for text in texts)


def test_commentary_speaks_of_every_other_take_and_counts_one_failure_each() -> None:
    truth = plan_dataset(takes=9, seconds=20, seed=2)
    found = [make_commentary(truth, file_split=split)["annotations"] for split in ("train", "val")]
    uids = [uid for document in found for uid in document]
    assert sorted(uids) == sorted(take.take_uid for take in truth.takes[::2])
    for document in found:
        for uid, (entry,) in document.items():
            assert entry["take_uid"] == uid
            assert entry["commentary"].startswith(entry["take_name"])
            failed = [r for r in entry["commentary_data"] if r["error"]]
            assert len(failed) == 1
            assert failed[0]["text"] is None
            times = [r["video_time"] for r in entry["commentary_data"]]
            assert times == sorted(times)
            assert 0 < times[0] <= times[-1] < 20
