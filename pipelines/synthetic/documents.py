"""The JSON files of a synthetic dataset, and the truth beside it."""

import json
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import UsageError

__all__ = ["ClosedModel", "read_truth_file", "write_json", "write_truth_file"]

_NAME: Final = "truth.json"


class ClosedModel(BaseModel):
    """What every record of a truth is: frozen, and of no other fields than its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Truth = TypeVar("Truth", bound=ClosedModel)


def read_truth_file(root: Path, model: type[Truth]) -> Truth:
    """Return ``root/truth.json``.

    Args:
        root: folder of a synthetic dataset.
        model: what the dataset's truth is.

    Raises:
        UsageError: if it is not there or is no truth file of this dataset.
    """
    path = root / _NAME
    if not path.is_file():
        raise UsageError(f"truth.json must lie in a synthetic dataset, got none [root={root}]")
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(f"truth.json must fit its schema, got {error} [file={path}]") from error


def write_truth_file(dest: Path, truth: ClosedModel) -> None:
    """Write ``dest/truth.json``, the last file: a dataset without it was not finished."""
    (dest / _NAME).write_text(truth.model_dump_json(indent=1), encoding="utf-8")


def write_json(path: Path, document: Any) -> None:  # noqa: ANN401 - whatever JSON can say
    """Write a metadata file as people may read it."""
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
