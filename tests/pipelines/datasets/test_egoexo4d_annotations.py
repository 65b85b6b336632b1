import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets.egoexo4d_annotations import (
    read_json,
    read_narrations,
    read_official_split,
)
from schemas.errors import UsageError
from schemas.narration import Narration


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


def test_older_and_newer_fields_are_both_read(tmp_path: Path) -> None:
    older = said("C waits", 3, narration_subject="0")
    newer = said("C walks", 4.25, subject="C", ego_visible=None, best_exo=None, unsure=True)
    passes = [a_pass("p", older, newer)]
    write(tmp_path, "atomic_descriptions_train.json", {"annotations": {"a": passes}})
    narrations, _ = read_narrations(tmp_path, take_uids={"a"})
    assert [n.text_raw for n in narrations["a"]] == ["C waits", "C walks"]


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
        pytest.param(said(" \n", 1.0), id="blank_text"),
        pytest.param("C waits", id="no_object"),
    ],
)
def test_malformed_descriptions_are_counted(tmp_path: Path, bad: Any) -> None:
    passes = [a_pass("p", bad, said("C sits", 2))]
    write(tmp_path, "atomic_descriptions_val.json", {"annotations": {"a": passes}})
    narrations, ignored = read_narrations(tmp_path, take_uids={"a"})
    assert [n.text_raw for n in narrations["a"]] == ["C sits"]
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


def test_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "takes.json").write_text("[{")
    with pytest.raises(UsageError, match=r"takes\.json must be readable JSON, got Expecting"):
        read_json(tmp_path / "takes.json")


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
