"""Metadata files in JSON, and fields of which nobody promised that they hold what they should."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.errors import UsageError
from schemas.time import seconds_to_ns

__all__ = ["as_mapping", "as_seconds_ns", "read_json"]


def read_json(path: Path, *, layout: str) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Return the content of a metadata file.

    Args:
        path: the file.
        layout: whose download lays the folder out, for the error's sentence.

    Raises:
        UsageError: if it is not there or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"dataset.root must hold {path.name}, as the {layout} download lays it out, "
            f"got none at {path}"
        ) from error
    except (ValueError, OSError) as error:
        raise UsageError(f"{path.name} must be readable JSON, got {error} [{path}]") from error


def as_mapping(value: object) -> Mapping[str, Any]:
    """Return an object's members, none where the value is no object."""
    return value if isinstance(value, dict) else {}


def as_seconds_ns(value: object) -> int | None:
    """Return a number of seconds in ns, None where the value is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return seconds_to_ns(value)
