import json
from pathlib import Path

import pytest

from primus_train.results import find_result, result_key
from schemas.errors import UsageError


def test_a_result_is_found_under_its_key_alone(tmp_path: Path) -> None:
    path = tmp_path / "probe.json"
    assert find_result(path, key="a", overwrite=False) is None
    path.write_text(json.dumps({"key": "a", "rows": []}))
    assert find_result(path, key="a", overwrite=False) == {"key": "a", "rows": []}
    assert find_result(path, key="a", overwrite=True) == {"key": "a", "rows": []}
    with pytest.raises(UsageError, match=r"it holds another: .*--overwrite \[file=.*probe.json\]"):
        find_result(path, key="b", overwrite=False)
    assert find_result(path, key="b", overwrite=True) is None


def test_whatever_a_result_depends_on_is_in_its_key(tmp_path: Path) -> None:
    one, other = tmp_path / "one.pt", tmp_path / "other.pt"
    one.write_bytes(b"weights")
    other.write_bytes(b"other weights")
    keys = [
        result_key("probe", checkpoint=one, version="v", config={"a": 1}),
        result_key("retrieve", checkpoint=one, version="v", config={"a": 1}),
        result_key("probe", checkpoint=other, version="v", config={"a": 1}),
        result_key("probe", checkpoint=one, version="w", config={"a": 1}),
        result_key("probe", checkpoint=one, version="v", config={"a": 2}),
    ]
    assert len(set(keys)) == len(keys)
    other.write_bytes(b"weights")
    assert result_key("probe", checkpoint=other, version="v", config={"a": 1}) == keys[0]
