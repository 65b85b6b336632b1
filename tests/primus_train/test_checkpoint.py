import io
import json
import zipfile
from pathlib import Path

import pytest
import torch

from primus_train.checkpoint import (
    Checkpoint,
    find_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from schemas.errors import NewerFormatError, PrimusError, StoreNotFoundError


def test_tensors_and_meta_come_back(tmp_path: Path) -> None:
    tensors = {"a.x": torch.arange(3), "a.y": torch.tensor(2.5), "ab": torch.ones(1)}
    write_checkpoint(tmp_path / "c.pt", Checkpoint(tensors=tensors, meta={"step": 3}))
    got = read_checkpoint(tmp_path / "c.pt")
    assert got.meta == {"checkpoint_format": 1, "step": 3}
    assert set(got.part("a")) == {"x", "y"}
    assert all(torch.equal(got.tensors[name], value) for name, value in tensors.items())
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_a_slice_is_written_without_the_rest_of_its_storage(tmp_path: Path) -> None:
    big = torch.zeros(1_000_000)
    write_checkpoint(tmp_path / "c.pt", Checkpoint(tensors={"a": big[:10]}, meta={}))
    assert (tmp_path / "c.pt").stat().st_size < 10_000


def test_equal_checkpoints_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        write_checkpoint(tmp_path / name, Checkpoint(tensors={"t": torch.ones(4)}, meta={"k": 1}))
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    write_checkpoint(path, Checkpoint(tensors={}, meta={"step": 1}))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_checkpoint(path, Checkpoint(tensors={}, meta={"loss": float("nan")}))
    assert read_checkpoint(path).meta["step"] == 1


class Opener:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run by a pickle",))


def test_code_in_a_checkpoint_is_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"tensors": {}, "meta": Opener()}, tmp_path / "c.pt")
    with pytest.raises(PrimusError, match=r"must hold tensors and JSON.*UnpicklingError"):
        read_checkpoint(tmp_path / "c.pt")
    assert "pickle" not in capsys.readouterr().out


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="checkpoint must exist"):
        read_checkpoint(tmp_path / "c.pt")
    with zipfile.ZipFile(tmp_path / "c.pt", "w") as file:
        file.writestr("x", "y")
    with pytest.raises(PrimusError, match="must hold tensors and JSON"):
        read_checkpoint(tmp_path / "c.pt")
    buffer = io.BytesIO()
    torch.save({"tensors": {}, "meta": json.dumps({"checkpoint_format": 2})}, buffer)
    (tmp_path / "c.pt").write_bytes(buffer.getvalue())
    with pytest.raises(NewerFormatError, match="checkpoint_format must be at most 1, got 2"):
        read_checkpoint(tmp_path / "c.pt")


def test_a_run_means_its_best_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"with best\.pt, none found"):
        find_checkpoint(tmp_path)
    (tmp_path / "best.pt").write_bytes(b"")
    assert find_checkpoint(tmp_path) == find_checkpoint(tmp_path / "best.pt")
