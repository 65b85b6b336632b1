import hashlib
from pathlib import Path

import pytest

from primus_train.files import file_sha256, read_json, write_atomic, write_json


def test_json_comes_back_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "a.json", {"x": [1, None]})
    assert read_json(tmp_path / "deep" / "a.json") == {"x": [1, None]}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.json"]


def test_nan_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, (1 << 20) + 1])
def test_digest_is_that_of_the_whole_file(tmp_path: Path, size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    write_atomic(tmp_path / "f", data)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()
