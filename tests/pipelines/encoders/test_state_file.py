from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipelines.encoders.state_file import read_state, read_state_names
from schemas.errors import UsageError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)}


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, ("harmed",)


@pytest.mark.parametrize("old_layout", [False, True])
def test_tensors_of_a_torch_file(tmp_path: Path, old_layout: bool) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({**STATE, "epoch": 3}, path, _use_new_zipfile_serialization=not old_layout)
    found = read_state(path)
    assert sorted(found) == ["a.weight", "b"]
    assert all(torch.equal(found[name], value) for name, value in STATE.items())
    assert read_state_names(path) == {"a.weight", "b"}


def test_tensors_of_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(STATE, path)
    assert read_state_names(path) == {"a.weight", "b"}
    assert all(torch.equal(read_state(path)[name], value) for name, value in STATE.items())


def test_stored_code_does_not_run(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save({**STATE, "c": Harmful()}, path)
    with pytest.raises(UsageError, match="a file of tensors that torch's weights-only loader"):
        read_state(path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize(
    "data", [b"", b"no weights at all", b"\x80\x02.", b"\x80\x02q\x00.", b"\x80\x02h\x05."]
)
def test_other_files_are_refused(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=r"encoder weights must be a file of tensors .*, got "):
        read_state_names(tmp_path / name)


def test_a_file_without_names_is_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="must be named tensors, got a list"):
        read_state(tmp_path / "pytorch_model.bin")
