import json
from hashlib import sha256
from typing import Any

import pytest

from schemas.errors import UsageError
from schemas.store import (
    StoreRef,
    canonical_json,
    is_tag,
    is_version_id,
    mask_path,
    parse_store_ref,
    parse_tag,
    ref_path,
    sha256_hex,
    version_id,
    version_path,
)

ID = "0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "uri", "ref"),
    [
        pytest.param("/data/store", "/data/store", None, id="no_ref"),
        pytest.param("/data/store@latest", "/data/store", "latest", id="tag"),
        pytest.param(f"/data/store@{ID}", "/data/store", ID, id="version"),
        pytest.param("/data/a@b/store", "/data/a@b/store", None, id="at_in_a_folder"),
        pytest.param("/data/a@b/store@v1", "/data/a@b/store", "v1", id="last_at_counts"),
        pytest.param("/data/s@x@v1", "/data/s@x", "v1", id="two_ats"),
        pytest.param("s3://key@host/store", "s3://key@host/store", None, id="at_in_an_authority"),
    ],
)
def test_reference_splits_at_the_last_at(text: str, uri: str, ref: str | None) -> None:
    found = parse_store_ref(text)
    assert found == StoreRef(uri, ref)
    assert str(found) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a URI before the '@'"),
        ("@latest", "a URI before the '@'"),
        ("store@", "must end in a version id"),
        ("store@Latest", "must end in a version id"),
        ("store@..", "must end in a version id"),
    ],
)
def test_broken_reference_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_store_ref(text)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("latest", True),
        ("v1.2-rc_3", True),
        ("a" * 64, True),
        ("a" * 65, False),
        ("1a", False),
        ("A", False),
        ("", False),
        ("a/b", False),
        ("a..b", False),
        ("a\n", False),
        ("abcdefabcdefabcd", False),
        ("abcdefabcdefabc", True),
    ],
)
def test_what_may_be_a_tag(text: str, good: bool) -> None:
    assert is_tag(text) == good
    if good:
        assert parse_tag(text) == text
    else:
        with pytest.raises(UsageError, match="tag must match"):
            parse_tag(text)


@pytest.mark.parametrize(
    ("text", "good"), [(ID, True), (ID[:-1], False), (ID + "0", False), (ID.upper(), False)]
)
def test_what_is_a_version_id(text: str, good: bool) -> None:
    assert is_version_id(text) == good


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"b": 1, "a": [1.5, None, True]}, b'{"a":[1.5,null,true],"b":1}'),
        ({"é": "C's \n"}, '{"é":"C\'s \\n"}'.encode()),
        ([], b"[]"),
    ],
)
def test_canonical_json_has_one_form(value: Any, data: bytes) -> None:
    assert canonical_json(value) == data
    assert json.loads(data) == value


@pytest.mark.parametrize("value", [float("nan"), [float("inf")]])
def test_canonical_json_holds_no_nan(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_ids_are_digests_of_the_canonical_bytes() -> None:
    assert sha256_hex(b"") == sha256(b"").hexdigest()
    assert version_id({"b": 1, "a": 2}) == sha256(b'{"a":2,"b":1}').hexdigest()[:16]
    assert is_version_id(version_id({}))


def test_paths_of_the_layout() -> None:
    assert version_path(ID) == f"versions/{ID}"
    assert version_path(ID, "manifest.json") == f"versions/{ID}/manifest.json"
    assert ref_path("latest") == "refs/latest.json"
    assert mask_path(ID, "tenth", "json") == f"masks/{ID}/tenth.json"
    with pytest.raises(UsageError, match="tag must match"):
        mask_path(ID, "../x", "json")
