"""Annotations of every pass, source and age, against plain loops over the same JSON."""

import json
from collections import Counter
from collections.abc import Collection
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from pipelines.config import SegmentsConfig, TextConfig
from pipelines.datasets import egoexo4d_annotations
from pipelines.datasets.egoexo4d_annotations import read_official_split
from pipelines.segments.policies import count_neighbours, plan_segments
from pipelines.text.clean import clean_text
from schemas.errors import UsageError
from schemas.narration import Narration
from schemas.time import Interval
from tests.factories import make_take


def read_narrations(
    root: Path,
    *,
    take_uids: Collection[str],
    sources: tuple[str, ...] | None = None,
    passes: Literal["all", "first"] = "all",
) -> tuple[dict[str, tuple[Narration, ...]], dict[str, int]]:
    text = TextConfig(sources=sources, passes=passes)
    return egoexo4d_annotations.read_narrations(root, take_uids=take_uids, text=text)


def write(root: Path, name: str, document: Any) -> None:
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / name).write_text(json.dumps(document))


def a_pass(uid: str, *descriptions: dict[str, Any], rejected: bool = False) -> dict[str, Any]:
    return {"annotation_uid": uid, "rejected": rejected, "descriptions": list(descriptions)}


def said(text: Any, timestamp: Any, **more: Any) -> dict[str, Any]:
    return {"text": text, "timestamp": timestamp, **more}


def test_real_annotations_are_read_to_the_last_pass(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "atomic_descriptions_sample.json"
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "atomic_descriptions_val.json").symlink_to(path)
    content = json.loads(path.read_text())["annotations"]
    unknown = sorted(content)[0]
    known = [uid for uid in content if uid != unknown]

    expected: dict[str, list[tuple[float, str, str]]] = {}
    rejected = 0
    for uid in known:
        for one in content[uid]:
            if one["rejected"]:
                rejected += 1
                continue
            for d in one["descriptions"]:
                expected.setdefault(uid, []).append(
                    (d["timestamp"], one["annotation_uid"], d["text"])
                )
    narrations, ignored = read_narrations(tmp_path, take_uids=known)
    assert set(narrations) == set(expected)
    for uid, rows in expected.items():
        got = [(n.narration_ns, n.pass_uid, n.text_raw) for n in narrations[uid]]
        assert got == sorted((round(t * 1e9), pass_uid, text) for t, pass_uid, text in rows)
    assert ignored == {"rejected_pass": rejected, "unknown_take": len(content[unknown])}
    assert sum(map(len, narrations.values())) > 3000
    assert rejected > 5
    assert any(len({n.pass_uid for n in some}) > 1 for some in narrations.values())


def test_train_and_val_are_both_read_in_time_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        "atomic_descriptions_train.json",
        {"annotations": {"a": [a_pass("p2", said("C turns", 2.5), said("C sits", 1))]}},
    )
    write(
        tmp_path,
        "atomic_descriptions_val.json",
        {"annotations": {"a": [a_pass("p1", said("C turns.", 2.5))], "b": [a_pass("p3")]}},
    )
    narrations, ignored = read_narrations(tmp_path, take_uids={"a", "b"})
    assert [(n.narration_ns, n.pass_uid) for n in narrations["a"]] == [
        (1_000_000_000, "p2"),
        (2_500_000_000, "p1"),
        (2_500_000_000, "p2"),
    ]
    assert narrations["a"][0] == Narration(
        narration_ns=1_000_000_000,
        text_raw="C sits",
        text="",
        text_source="atomic_descriptions",
        pass_uid="p2",
    )
    assert narrations["b"] == ()
    assert ignored == {}


def test_rejected_pass_in_first_place_does_not_hide_the_second(tmp_path: Path) -> None:
    passes = [a_pass("p1", said("no", 1), rejected=True), a_pass("p2", said("yes", 1))]
    write(tmp_path, "atomic_descriptions_val.json", {"annotations": {"a": passes}})
    narrations, ignored = read_narrations(tmp_path, take_uids={"a"})
    assert [n.text_raw for n in narrations["a"]] == ["yes"]
    assert ignored == {"rejected_pass": 1}


@pytest.mark.parametrize(
    ("fields", "subject", "visible"),
    [
        ({"subject": "C", "ego_visible": True}, "wearer", True),
        ({"subject": "O", "ego_visible": False}, "other", False),
        ({"narration_subject": "C", "ego_visible": "0"}, "wearer", False),
        ({"narration_subject": "O", "ego_visible": "1"}, "other", True),
        ({"subject": None, "ego_visible": None}, None, None),
        ({"subject": "X", "ego_visible": "yes"}, None, None),
        ({"subject": ["C"], "ego_visible": 0.5}, None, None),
        ({}, None, None),
    ],
)
def test_older_and_newer_fields_are_both_read(
    tmp_path: Path, fields: dict[str, Any], subject: str | None, visible: bool | None
) -> None:
    passes = [a_pass("p", said("C waits", 3, **fields))]
    write(tmp_path, "atomic_descriptions_train.json", {"annotations": {"a": passes}})
    (narration,) = read_narrations(tmp_path, take_uids={"a"})[0]["a"]
    assert (narration.subject, narration.visible) == (subject, visible)


@pytest.mark.parametrize("text", ["", " \n"])
def test_sentence_without_words_is_a_narration(tmp_path: Path, text: str) -> None:
    passes = [a_pass("p", said(text, 1.0))]
    write(tmp_path, "atomic_descriptions_val.json", {"annotations": {"a": passes}})
    narrations, ignored = read_narrations(tmp_path, take_uids={"a"})
    assert [(n.text_raw, n.narration_ns) for n in narrations["a"]] == [(text, 10**9)]
    assert ignored == {}


def test_first_pass_is_the_files_first_rejected_or_not(tmp_path: Path) -> None:
    one, two = a_pass("p1", said("one", 1)), a_pass("p2", said("two", 1), said("three", 2))
    rejected = a_pass("p0", rejected=True)
    document = {"annotations": {"a": [one, two], "b": [rejected, one], "c": [two], "x": [one, two]}}
    write(tmp_path, "atomic_descriptions_val.json", document)
    narrations, ignored = read_narrations(tmp_path, take_uids={"a", "b", "c"}, passes="first")
    assert {uid: [n.text_raw for n in some] for uid, some in narrations.items()} == {
        "a": ["one"],
        "c": ["two", "three"],
    }
    assert ignored == {"later_pass": 2, "rejected_pass": 1, "unknown_take": 2}


def commentary(**entry: Any) -> dict[str, Any]:
    fields = {"recording": "r1.webm", "video_time": 2.5, "text": "Good pace.", "error": None}
    return {
        "take_name": "n",
        "commentary": "n/expert_3",
        "commentary_data": [{**fields, **entry}],
    }


def test_expert_commentary_is_a_source_of_its_own(tmp_path: Path) -> None:
    passes = [a_pass("p", said("C sits", 2.5))]
    write(tmp_path, "atomic_descriptions_train.json", {"annotations": {"a": passes}})
    remarks = [
        commentary(),
        commentary(error="no speech", text=None),
        commentary(text=None),
        commentary(video_time=None),
        commentary(recording="r2.webm", video_time=1, text="Relaxed."),
    ]
    document = {"annotations": {"a": remarks, "gone": [commentary()]}}
    write(tmp_path, "expert_commentary_val.json", document)
    assert [n.text_raw for n in read_narrations(tmp_path, take_uids={"a"})[0]["a"]] == ["C sits"]
    alone, ignored = read_narrations(tmp_path, take_uids={"a"}, sources=("expert_commentary",))
    assert alone["a"] == (
        Narration(
            narration_ns=1_000_000_000,
            text_raw="Relaxed.",
            text="",
            text_source="expert_commentary",
            pass_uid="n/expert_3/r2.webm",
        ),
        Narration(
            narration_ns=2_500_000_000,
            text_raw="Good pace.",
            text="",
            text_source="expert_commentary",
            pass_uid="n/expert_3/r1.webm",
        ),
    )
    assert ignored == {"commentary_error": 1, "malformed_description": 2, "unknown_take": 1}
    both, _ = read_narrations(
        tmp_path, take_uids={"a"}, sources=("expert_commentary", "atomic_descriptions")
    )
    assert [n.text_source for n in both["a"]] == [
        "expert_commentary",
        "expert_commentary",
        "atomic_descriptions",
    ]


def test_unknown_source_and_source_without_file_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"among atomic_descriptions, expert_.*, got keystep"):
        read_narrations(tmp_path, take_uids={"a"}, sources=("keystep",))
    with pytest.raises(UsageError, match=r"names expert_commentary, .*expert_commentary_val\.json"):
        read_narrations(tmp_path, take_uids={"a"}, sources=("expert_commentary",))


def test_real_sample_counts_as_a_plain_loop_does(shared_data: Path, tmp_path: Path) -> None:
    """Passes, rejected passes, sentences, exact duplicates and the overlap of 5-s windows."""
    path = shared_data / "atomic_descriptions_sample.json"
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "atomic_descriptions_val.json").symlink_to(path)
    content = json.loads(path.read_text())["annotations"]
    narrations, ignored = read_narrations(tmp_path, take_uids=content.keys())

    covered, windows_s = 0.0, 0.0
    passes, sentences = 0, 0
    same, windows = Counter[tuple[str, int, str]](), Counter[tuple[str, int]]()
    for uid, some in content.items():
        seen: set[int] = set()
        ends = [d["timestamp"] for one in some for d in one["descriptions"]]
        last = round(max(ends, default=0.0) + 10)
        for one in some:
            passes += 1
            for d in one["descriptions"]:
                sentences += 1
                text = clean_text(d["text"], rule="default")
                # Centred, slid into the take, on the 20-ms grid; in decimals, as they are written.
                centred = Decimal(str(d["timestamp"])) - Decimal("2.5")
                start = min(max(centred, Decimal(0)), Decimal(last - 5))
                start_ms = int(start * 50 + Decimal("0.5")) * 20
                same[uid, start_ms, text] += 1
                windows[uid, start_ms] += 1
                windows_s += 5.0
                seen.update(range(start_ms, start_ms + 5000, 20))
        covered += len(seen) * 0.02
    duplicates = sum(count - 1 for count in same.values())

    planned, repeated, shared, length_ns, union_ns = 0, 0, 0, 0, 0
    for uid, found in narrations.items():
        last = round(max(n.narration_ns for n in found) / 1e9 + 10)
        cleaned = [
            Narration(
                narration_ns=n.narration_ns,
                text_raw=n.text_raw,
                text=clean_text(n.text_raw, rule="default"),
                text_source=n.text_source,
                pass_uid=n.pass_uid,
            )
            for n in found
        ]
        plan = plan_segments(
            make_take(uid),
            narrations=cleaned,
            span=Interval(0, last * 10**9),
            clock_uncertainty_ns=0,
            config=SegmentsConfig(),
        )
        planned += plan.planned
        repeated += plan.rows.filter(plan.rows["duplicate_index"] > 0).height
        starts, ends_ns = plan.rows["start_ns"].to_numpy(), plan.rows["end_ns"].to_numpy()
        length_ns += int((ends_ns - starts).sum())
        reach = 0
        for low, high in zip(starts.tolist(), ends_ns.tolist(), strict=True):
            union_ns += max(0, high - max(low, reach))
            reach = max(reach, high)
        shared += int((count_neighbours(starts, end_ns=ends_ns)[1] > 0).sum())
    accepted = {n.pass_uid for found in narrations.values() for n in found}
    assert passes == 80
    assert ignored == {"rejected_pass": 17}
    assert len(accepted) == passes - 17
    assert planned == sentences == 3264
    assert repeated == duplicates == 3
    assert shared == sum(count for count in windows.values() if count > 1) > 100
    assert length_ns / union_ns == pytest.approx(windows_s / covered, rel=1e-4)
    assert 2 < length_ns / union_ns < 4


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"text": "C waits"}, id="no_timestamp"),
        pytest.param({"timestamp": 1.0}, id="no_text"),
        pytest.param(said("C waits", None), id="null_timestamp"),
        pytest.param(said("C waits", "1.0"), id="timestamp_in_words"),
        pytest.param(said("C waits", float("nan")), id="nan"),
        pytest.param(said("C waits", True), id="bool"),
        pytest.param(said(None, 1.0), id="null_text"),
        pytest.param("C waits", id="no_object"),
        pytest.param(said("half a sign \ud800", 1.0), id="half_a_sign"),
        pytest.param(said("C waits", 10**400), id="no_float"),
    ],
)
def test_malformed_descriptions_are_counted(tmp_path: Path, bad: Any) -> None:
    passes = [a_pass("p", bad, said("C sits", 2))]
    write(tmp_path, "atomic_descriptions_val.json", {"annotations": {"a": passes}})
    narrations, ignored = read_narrations(tmp_path, take_uids={"a"})
    assert [n.text_raw for n in narrations["a"]] == ["C sits"]
    assert ignored == {"malformed_description": 1}


@pytest.mark.parametrize("descriptions", [5, True, "words", {"text": "C sits"}])
def test_descriptions_that_are_no_list_count_once(tmp_path: Path, descriptions: Any) -> None:
    passes = [{"annotation_uid": "p", "rejected": False, "descriptions": descriptions}]
    write(tmp_path, "atomic_descriptions_val.json", {"annotations": {"a": passes}})
    narrations, ignored = read_narrations(tmp_path, take_uids={"a"})
    assert narrations == {"a": ()}
    assert ignored == {"malformed_description": 1}


def test_folder_without_annotations_has_no_narrations(tmp_path: Path) -> None:
    assert read_narrations(tmp_path, take_uids={"a"}) == ({}, {})


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        pytest.param([], "must hold annotations by take_uid", id="list"),
        pytest.param({"annotations": {"a": {}}}, r"annotations\[a\] must be a list", id="no_list"),
        pytest.param({"annotations": {"a": [1]}}, r"annotations\[a\] must be a list", id="no_pass"),
    ],
)
def test_file_of_another_shape_is_refused(tmp_path: Path, document: Any, sentence: str) -> None:
    write(tmp_path, "atomic_descriptions_val.json", document)
    with pytest.raises(UsageError, match=sentence):
        read_narrations(tmp_path, take_uids={"a"})


@pytest.mark.parametrize("folder", ["annotations", "."])
def test_official_split_is_read_from_either_place(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(exist_ok=True)
    document = {"take_uid_to_split": {"a": "train", "b": "test"}}
    (tmp_path / folder / "splits.json").write_text(json.dumps(document))
    assert read_official_split(tmp_path) == {"a": "train", "b": "test"}


def test_official_split_is_read_from_its_inverse(tmp_path: Path) -> None:
    write(tmp_path, "splits.json", {"split_to_take_uids": {"val": ["a", "c"], "train": ["b"]}})
    assert read_official_split(tmp_path) == {"a": "val", "c": "val", "b": "train"}


def test_missing_split_is_empty_and_a_strange_one_is_refused(tmp_path: Path) -> None:
    assert read_official_split(tmp_path) == {}
    write(tmp_path, "splits.json", {"train": ["a"]})
    with pytest.raises(UsageError, match=r"splits\.json must hold take_uid_to_split"):
        read_official_split(tmp_path)
    write(tmp_path, "splits.json", {"split_to_take_uids": {"val": 5, "train": ["b"]}})
    with pytest.raises(UsageError, match="split_to_take_uids must hold lists, got none for val"):
        read_official_split(tmp_path)
