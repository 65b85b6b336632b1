import json
from typing import Any

import pytest

from pipelines.datasets.json_members import read_members

DOCUMENT: dict[str, Any] = {
    "date": "230101",
    "videos": {"a": {"x": [1, 2, {"y": '}{,:"'}]}, "b": None, "": {}},
    "ä": [],
    "n": -1.5e3,
}


@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("document", [DOCUMENT, {}, {"videos": {}}, {"videos": 3, "a": {}}])
def test_members_are_those_json_reads(document: dict[str, Any], indent: int | None) -> None:
    text = f" \n{json.dumps(document, indent=indent)}\t\n"
    assert list(read_members(text)) == list(document.items())


def test_members_of_a_named_member_stand_in_its_place() -> None:
    text = json.dumps(DOCUMENT)
    found = list(read_members(text, inside=("videos",)))
    inner = list(DOCUMENT["videos"].items())
    assert found == [("date", "230101"), *inner, ("ä", []), ("n", -1500.0)]
    # One level only, and only where it is an object.
    assert list(read_members('{"videos": {"videos": {"a": 1}}}', inside=("videos",))) == [
        ("videos", {"a": 1})
    ]
    assert list(read_members('{"videos": [1]}', inside=("videos",))) == [("videos", [1])]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting '{'"),
        ("[]", "Expecting '{'"),
        ("{", "Expecting value"),
        ('{"a" 1}', "Expecting ':'"),
        ('{"a": 1', "Expecting '}'"),
        ('{"a": 1,}', "Expecting value"),
        ('{"a": 1 "b": 2}', "Expecting '}'"),
        ("{3: 1}", "Expecting a name"),
        ('{"a": 1} x', "Extra data"),
        ('{"a": tru}', "Expecting value"),
        ('{"videos": {"a": 1', "Expecting '}'"),
    ],
)
def test_what_is_no_object_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        list(read_members(text, inside=("videos",)))
