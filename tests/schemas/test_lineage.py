from typing import Any

from schemas.lineage import print_tree
from schemas.manifest import RunRecord
from schemas.store import canonical_json, sha256_hex


def record(**fields: Any) -> RunRecord:
    given: dict[str, Any] = {
        "version": "0" * 16,
        "made_at": "",
        "seconds": {},
        "executor": "inline",
        "workers": 1,
        "computed_takes": 1,
        "reused_takes": 0,
        "python": "",
        "platform": "",
        "packages": {},
        "commit": None,
        "parts": {},
        "parts_uri": "",
        "dataset_root": "",
        "store_uri": "",
        "manifest_sha256": "",
    }
    return RunRecord(**{**given, **fields})


def test_records_made_before_a_field_keep_their_digest() -> None:
    before = {
        "version": "0" * 16,
        "made_at": "",
        "seconds": {},
        "executor": "inline",
        "workers": 1,
        "computed_takes": 1,
        "reused_takes": 0,
        "python": "",
        "platform": "",
        "packages": {},
        "commit": None,
        "container_digest": None,
        "parts": {},
        "parts_uri": "",
        "dataset_root": "",
        "store_uri": "",
        "manifest_sha256": "",
    }
    now = record().model_dump(mode="json", exclude={"sha256"})
    assert sha256_hex(canonical_json(now)) == sha256_hex(canonical_json(before))


def test_what_is_told_of_a_run_is_written() -> None:
    written = record(dirty=False, host="node7", etags={"a.mp4": "e1"}).model_dump(mode="json")
    assert (written["dirty"], written["host"]) == (False, "node7")
    assert written["etags"] == {"a.mp4": "e1"}
    assert RunRecord.model_validate(written).dirty is False


def test_a_tree_shows_nested_values_a_line_each() -> None:
    branches = {"a": 1, "b": {"c": [1, 2], "d": {}}, "e": [{"f": None}], "g": []}
    assert print_tree("root", branches).splitlines() == [
        "root",
        "├─ a: 1",
        "├─ b",
        "│  ├─ c: 1, 2",
        "│  └─ d: none",
        "├─ e",
        "│  └─ 0",
        "│     └─ f: none",
        "└─ g: none",
    ]


def test_names_cannot_break_the_lines_or_drive_a_terminal() -> None:
    shown = print_tree("root", {"a\nb": "\x1b[2Jc"})
    assert shown.splitlines() == ["root", "└─ a\\x0ab: \\x1b[2Jc"]
