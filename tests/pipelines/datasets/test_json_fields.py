from pathlib import Path

import pytest

from pipelines.datasets.json_fields import as_mapping, as_seconds_ns, is_text, read_json
from schemas.errors import UsageError


def test_content_is_read_as_utf8(tmp_path: Path) -> None:
    (tmp_path / "takes.json").write_bytes('[{"name": "Café"}]'.encode())
    assert read_json(tmp_path / "takes.json", layout="X") == [{"name": "Café"}]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[{", r"takes\.json must be readable JSON, got Expecting"),
        (b'["\xff"]', r"takes\.json must be readable JSON, got 'utf-8' codec"),
        (b"[" * 100_000, r"takes\.json must be readable JSON, got maximum recursion"),
        (None, r"must hold takes\.json, as the Ego-X download lays it out, got none at"),
    ],
    ids=["cut_off", "latin1", "deep", "missing"],
)
def test_file_that_is_none_is_named(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "takes.json").write_bytes(content)
    with pytest.raises(UsageError, match=sentence):
        read_json(tmp_path / "takes.json", layout="Ego-X")


@pytest.mark.parametrize(
    ("value", "ns"),
    [
        (0, 0),
        (-1.5, -1_500_000_000),
        (2.0000000004, 2_000_000_000),
        (2.0000000006, 2_000_000_001),
        ("2", None),
        (True, None),
        (None, None),
        (float("nan"), None),
        (float("-inf"), None),
        (1e300, None),
        (-(10**400), None),
    ],
)
def test_seconds_are_finite_numbers(value: object, ns: int | None) -> None:
    assert as_seconds_ns(value) == ns


def test_only_an_object_has_members() -> None:
    assert as_mapping({"a": 1}) == {"a": 1}
    assert [as_mapping(value) for value in (None, [1], "a")] == [{}, {}, {}]


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "takes.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "takes.json", layout="X") == [1]


def test_half_a_sign_is_no_text() -> None:
    given = ["", "Caf\u00e9 \U0001f600", "\ud83d", "a\udfff", None, 1]
    assert [is_text(value) for value in given] == [True, True, False, False, False, False]
