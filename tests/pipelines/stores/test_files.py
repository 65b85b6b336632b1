from hashlib import sha256
from pathlib import Path

import pytest

from pipelines.stores.files import file_sha256, open_atomic, write_atomic


def test_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    write_atomic(path, b"one")

    def write_half() -> None:
        with open_atomic(path) as file:
            file.write(b"tw")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_half()
    assert path.read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 3])
def test_digest_of_any_size(tmp_path: Path, size: int) -> None:
    data = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
    (tmp_path / "x").write_bytes(data[:size])
    assert file_sha256(tmp_path / "x") == sha256(data[:size]).hexdigest()
