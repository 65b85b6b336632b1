import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.datasets.ego4d_annotations import (
    find_bases,
    official_split,
    read_ego4d_json,
    read_narrations,
)
from schemas.errors import UsageError

S = 1_000_000_000


def entry(t_s: Any, text: Any, annotation: str | None = "a1") -> dict[str, Any]:
    return {
        "timestamp_sec": t_s,
        "timestamp_frame": 0,
        "narration_text": text,
        "annotation_uid": annotation,
    }


def write_narrations(root: Path, content: Any, *, folder: str = "annotations") -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / "narration.json").write_text(json.dumps(content))


@pytest.mark.parametrize("place", [".", "v1", "v2", "v2_1"])
def test_metadata_is_found_in_either_place(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "ego4d.json").write_text('{"videos": [{"video_uid": "a"}]}')
    assert read_ego4d_json(tmp_path) == [{"video_uid": "a"}]
    assert read_ego4d_json(tmp_path / place) == [{"video_uid": "a"}]


def test_a_versions_folder_finds_the_metadata_above_it(tmp_path: Path) -> None:
    (tmp_path / "v2").mkdir()
    (tmp_path / "ego4d.json").write_text('{"videos": [{"video_uid": "a"}]}')
    assert read_ego4d_json(tmp_path / "v2") == [{"video_uid": "a"}]
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match=r"must hold ego4d\.json, or a folder v2_1 or v2 or v1"):
        read_ego4d_json(tmp_path / "other")


def test_the_roots_own_metadata_comes_first_then_the_newest(tmp_path: Path) -> None:
    for place in ("v1", "v2", "v2_1"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "ego4d.json").write_text(json.dumps({"videos": [{"video_uid": place}]}))
    assert find_bases(tmp_path) == (".", "v2_1", "v2", "v1")
    assert read_ego4d_json(tmp_path) == [{"video_uid": "v2_1"}]
    (tmp_path / "ego4d.json").write_text('{"videos": []}')
    assert read_ego4d_json(tmp_path) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", r"ego4d\.json must be readable JSON"),
        ("[]", "must hold a list of videos"),
        ('{"videos": {}}', "must hold a list of videos"),
        ('{"videos": [{}]}', "video 0 must have a video_uid"),
        ('{"videos": [{"video_uid": "a"}, {"video_uid": 3}]}', "video 1 must have a video_uid"),
        ('{"videos": [{"video_uid": "a"}, {"video_uid": "a"}]}', "unique in ego4d.json, got a"),
    ],
)
def test_broken_metadata_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "ego4d.json").write_text(content)
    with pytest.raises(UsageError, match=said):
        read_ego4d_json(tmp_path)


@pytest.mark.parametrize(
    ("fields", "split"),
    [
        ({"split_em": "train", "split_av": None, "split_fho": None}, "train"),
        ({"split_em": None, "split_fho": "val"}, "val"),
        ({"split_em": "test", "split_av": "test", "split_fho": "test"}, "test"),
        ({"split_em": "train", "split_av": "val"}, None),
        ({"split_em": "multi", "split_av": "val"}, "val"),
        ({"split_em": ["train"]}, None),
        ({}, None),
    ],
)
def test_official_split_is_what_the_benchmarks_agree_on(
    fields: dict[str, Any], split: str | None
) -> None:
    assert official_split(fields) == split


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize("folder", ["annotations", "v2/annotations", "v2", "."])
def test_both_passes_are_read_in_order_of_time(tmp_path: Path, folder: str, outer: bool) -> None:
    passes = {
        "narration_pass_1": {
            "narrations": [entry(4.25, "#C C cuts"), entry(-0.04, "#O man X sits", None)],
            "summaries": [{"start_sec": 0, "end_sec": 9, "summary_text": "#Summary C cooks"}],
        },
        "narration_pass_2": {"narrations": [entry(1, "#unsure rings", "a2")], "summaries": []},
    }
    content = {"uid": passes, "nobody": {"narration_pass_1": {"narrations": [entry(1, "x")]}}}
    write_narrations(tmp_path, {"videos": content} if outer else content, folder=folder)
    found, ignored = read_narrations(tmp_path, video_uids={"uid"}, first_pass_only=False)
    assert list(found) == ["uid"]
    assert [(n.narration_ns, n.text_raw, n.pass_uid, n.subject) for n in found["uid"]] == [
        (-40_000_000, "#O man X sits", "narration_pass_1", "other"),
        (S, "#unsure rings", "narration_pass_2:a2", None),
        (4_250_000_000, "#C C cuts", "narration_pass_1:a1", "wearer"),
    ]
    assert {(n.text, n.text_source, n.visible) for n in found["uid"]} == {("", "narrations", None)}
    assert ignored == {"unknown_take": 1}
    first, _ = read_narrations(tmp_path, video_uids={"uid"}, first_pass_only=True)
    assert {n.pass_uid.partition(":")[0] for n in first["uid"]} == {"narration_pass_1"}


def test_unknown_videos_count_their_passes(tmp_path: Path) -> None:
    one: dict[str, Any] = {"narrations": [entry(1, "x")] * 9}
    write_narrations(
        tmp_path,
        {
            "a": {"narration_pass_1": one, "narration_pass_2": one},
            "b": {"narration_pass_2": one},
            "c": {"status": "redacted"},
            "version": "2.1",
        },
    )
    for only, count in ((False, 3), (True, 1)):
        found, ignored = read_narrations(tmp_path, video_uids=(), first_pass_only=only)
        assert (found, ignored) == ({}, {"unknown_take": count})


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("#C C picks a cup", "wearer"),
        ("#c c picks a cup", "wearer"),
        ("# C C picks", "wearer"),
        ("#O a man X walks", "other"),
        ("#o sits", "other"),
        ("#unsure #C C turns", "wearer"),
        ("C picks a cup", None),
        ("#Cpicks", None),
        ("#summary C cooks", None),
        ("", None),
    ],
)
def test_the_mark_says_whom_a_sentence_is_about(
    tmp_path: Path, text: str, subject: str | None
) -> None:
    write_narrations(tmp_path, {"a": {"narration_pass_1": {"narrations": [entry(1, text)]}}})
    found, _ = read_narrations(tmp_path, video_uids={"a"}, first_pass_only=False)
    assert found["a"][0].subject == subject


def test_entries_without_time_or_sentence_are_ignored_but_empty_text_is_planned(
    tmp_path: Path,
) -> None:
    entries = [
        entry(None, "x"),
        entry("3", "x"),
        entry(True, "x"),
        entry(float("nan"), "x"),
        entry(1, ["x"]),
        entry(10**400, "x"),
        entry(1, "half a sign \ud800"),
        entry(1, "x", "\ud800"),
        "x",
        entry(2, ""),
        entry(3, None),
        entry(4, "#C C cuts"),
    ]
    write_narrations(tmp_path, {"a": {"narration_pass_1": {"narrations": entries}}})
    found, ignored = read_narrations(tmp_path, video_uids={"a"}, first_pass_only=False)
    assert [(n.narration_ns, n.text_raw) for n in found["a"]] == [
        (2 * S, ""),
        (3 * S, ""),
        (4 * S, "#C C cuts"),
    ]
    assert ignored == {"malformed_narration": 9}


@pytest.mark.parametrize(
    ("passes", "count"),
    [
        pytest.param([1, 2], 1, id="video_is_a_list"),
        pytest.param(None, 0, id="video_is_null"),
        pytest.param({"narration_pass_1": [entry(1, "x")]}, 1, id="pass_is_a_list"),
        pytest.param({"narration_pass_1": {"narrations": {"a": 1}}}, 1, id="narrations_object"),
        pytest.param({"narration_pass_1": {"narrations": "words"}}, 1, id="narrations_string"),
        pytest.param({"narration_pass_1": {"narrations": None}}, 0, id="narrations_null"),
        pytest.param({"narration_pass_1": {"summaries": []}}, 0, id="summaries_alone"),
    ],
)
def test_what_is_no_list_of_narrations_is_counted_once(
    tmp_path: Path, passes: Any, count: int
) -> None:
    write_narrations(tmp_path, {"a": passes, "date": "x"})
    found, ignored = read_narrations(tmp_path, video_uids={"a"}, first_pass_only=False)
    assert found == {}
    assert ignored.get("malformed_narration", 0) == count


def test_without_a_narration_file_there_are_no_narrations(tmp_path: Path) -> None:
    assert read_narrations(tmp_path, video_uids={"a"}, first_pass_only=False) == ({}, {})


@pytest.mark.parametrize(("content", "said"), [("[]", "passes by video_uid"), ("{", "JSON")])
def test_a_broken_narration_file_is_refused(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "narration.json").write_text(content)
    with pytest.raises(UsageError, match=said):
        read_narrations(tmp_path, video_uids={"a"}, first_pass_only=False)
