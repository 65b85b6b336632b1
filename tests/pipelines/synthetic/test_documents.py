import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.synthetic.documents import (
    ClosedModel,
    read_truth_file,
    write_json,
    write_truth_file,
)
from schemas.errors import UsageError


class Truth(ClosedModel):
    seed: int
    name: str = "é"


def test_truth_comes_back_as_it_was(tmp_path: Path) -> None:
    write_truth_file(tmp_path, Truth(seed=3))
    assert json.loads((tmp_path / "truth.json").read_bytes()) == {"seed": 3, "name": "é"}
    assert read_truth_file(tmp_path, Truth) == Truth(seed=3)


def test_truth_is_frozen_and_closed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Truth(seed=3).seed = 4
    with pytest.raises(ValidationError, match="Extra inputs"):
        Truth(seed=3, sead=4)  # type: ignore[call-arg]


def test_truth_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"truth\.json must lie in a synthetic dataset, got none"):
        read_truth_file(tmp_path, Truth)
    (tmp_path / "truth.json").write_text('{"seed": 1, "takes": []}')
    with pytest.raises(UsageError, match=r"truth\.json must fit its schema, got 1 validation"):
        read_truth_file(tmp_path, Truth)


def test_json_is_readable_as_text(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": [1]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "é": [\n  1\n ]\n}'
