import json
from typing import Any

import pytest

from pipelines.synthetic.ego4d_annotations import make_ego4d_json, make_narrations
from pipelines.synthetic.ego4d_truth import Ego4DTruth, plan_ego4d

PASSES = ("narration_pass_1", "narration_pass_2")


def planned(*faults: str, takes: int = 3) -> Ego4DTruth:
    return plan_ego4d(takes=takes, seconds=20, seed=5, faults=list(faults))


def first_pass(truth: Ego4DTruth, *, fault: str) -> list[dict[str, Any]]:
    (take,) = (take for take in truth.takes if take.fault == fault)
    narrations: list[dict[str, Any]] = make_narrations(truth)[0][take.take_uid][PASSES[0]][
        "narrations"
    ]
    return narrations


def test_both_passes_narrate_the_same_video_apart() -> None:
    truth = planned()
    content, counts = make_narrations(truth)
    assert list(content) == [take.take_uid for take in truth.takes]
    assert [tuple(content[take.take_uid]) for take in truth.takes] == [PASSES, PASSES, PASSES[:1]]
    entries = [n for passes in content.values() for p in passes.values() for n in p["narrations"]]
    assert counts == {"accepted": len(entries), "outside": 0, "empty": 0, "unknown_take": 0}
    for entry in entries:
        assert set(entry) == {
            "timestamp_sec", "timestamp_frame", "narration_text", "annotation_uid"
        }  # fmt: skip
        assert 0 < entry["timestamp_sec"] < 20
        assert entry["timestamp_frame"] == round(entry["timestamp_sec"] * 30)
        assert entry["narration_text"].startswith(("#C C", "#O "))
    one, two = (content[truth.takes[0].take_uid][name]["narrations"] for name in PASSES)
    assert {n["annotation_uid"] for n in one}.isdisjoint(n["annotation_uid"] for n in two)
    assert [n["timestamp_sec"] for n in one] != [n["timestamp_sec"] for n in two]
    for narrations in (one, two):
        times = [n["timestamp_sec"] for n in narrations]
        assert times == sorted(times)


def test_metadata_hold_the_published_fields() -> None:
    truth = planned(takes=8)
    document = make_ego4d_json(truth, height_px=1080)
    assert json.loads(json.dumps(document)) == document
    assert list(document) == [
        "date", "version", "description", "videos", "clips", "concurrent_video_sets",
        "physical_settings",
    ]  # fmt: skip
    for take, video in zip(truth.takes, document["videos"], strict=True):
        assert video["video_uid"] == take.take_uid
        assert video["duration_sec"] == 20.0
        assert video["scenarios"] == list(take.scenarios)
        assert video["fb_participant_id"] == take.participant.participant_uid
        assert video["has_imu"] is True
        named = {video[name] for name in ("split_em", "split_av", "split_fho")}
        assert named - {None} == {take.split}
        ends = [part["canonical_video_end_sec"] for part in video["video_components"]]
        starts = [part["canonical_video_start_sec"] for part in video["video_components"]]
        assert (starts[0], ends[-1]) == (0.0, 20.0)
        assert starts[1:] == ends[:-1]


def test_narrations_outside_the_video() -> None:
    truth = planned("narration_outside")
    times = [n["timestamp_sec"] for n in first_pass(truth, fault="narration_outside")]
    assert [t for t in times if not 0 <= t < 20] == [-1.5, 23.5]
    assert make_narrations(truth)[1]["outside"] == 2


def test_a_narration_twice() -> None:
    found = first_pass(planned("narration_duplicate"), fault="narration_duplicate")
    keys = [(n["timestamp_sec"], n["narration_text"]) for n in found]
    assert len(keys) == len(set(keys)) + 1


def test_empty_long_and_foreign_sentences() -> None:
    truth = planned("text_empty", "text_long", "text_scripts")
    texts = [n["narration_text"] for n in first_pass(truth, fault="text_empty")]
    assert texts.count("") == make_narrations(truth)[1]["empty"] == 1
    lengths = [len(n["narration_text"].split()) for n in first_pass(truth, fault="text_long")]
    assert sum(length > 77 for length in lengths) == 1
    foreign = "".join(n["narration_text"] for n in first_pass(truth, fault="text_scripts"))
    assert "右手" in foreign
    assert "окно" in foreign


@pytest.mark.parametrize("fault", [(), ("unknown_take",)])
def test_an_unknown_video_is_narrated(fault: tuple[str, ...]) -> None:
    truth = planned(*fault)
    content, counts = make_narrations(truth)
    strangers = set(content) - {take.take_uid for take in truth.takes}
    assert len(strangers) == len(fault)
    assert counts["unknown_take"] == sum(len(content[uid]) for uid in strangers)
    assert bool(counts["unknown_take"]) == bool(fault)
