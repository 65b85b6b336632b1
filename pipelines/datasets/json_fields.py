"""Metadata files in JSON, and fields of which nobody promised that they hold what they should."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard

from schemas.errors import UsageError
from schemas.limits import LARGEST_METADATA_BYTES
from schemas.time import seconds_to_ns

__all__ = ["as_mapping", "as_seconds_ns", "check_size", "is_text", "read_json"]

# No recording lasts longer (31 years), and as ns it fits int64 with room to spare.
_LONGEST_S: Final = 1e9


def read_json(path: Path, *, layout: str) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Return the content of a metadata file.

    Args:
        path: the file.
        layout: whose download lays the folder out, for the error's sentence.

    Raises:
        UsageError: if it is not there, far too large or no JSON.
    """
    check_size(path, most=LARGEST_METADATA_BYTES)
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError(
            f"dataset.root must hold {path.name}, as the {layout} download lays it out, "
            f"got none at {path}"
        ) from error
    except (ValueError, OSError, RecursionError) as error:
        raise UsageError(f"{path.name} must be readable JSON, got {error} [{path}]") from error


def check_size(path: Path, *, most: int) -> None:
    """Refuse a metadata file that is larger than ``most`` bytes, or no file but a pipe or device.

    Raises:
        UsageError: the same; a file that is not there passes.
    """
    if not path.exists():
        return
    if not path.is_file():
        raise UsageError(f"{path.name} must be a file, got something else [{path}]")
    size = path.stat().st_size
    if size > most:
        raise UsageError(
            f"{path.name} must have at most {most} bytes, got {size}: leave out what is not needed "
            f"[{path}]"
        )


def as_mapping(value: object) -> Mapping[str, Any]:
    """Return an object's members, none where the value is no object."""
    return value if isinstance(value, dict) else {}


def as_seconds_ns(value: object) -> int | None:
    """Return a number of seconds in ns, None where it is no number of a recording's size."""
    # Compared before anything else: a whole number may be too large for any float.
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not -_LONGEST_S <= value <= _LONGEST_S
    ):
        return None
    return seconds_to_ns(value)


def is_text(value: object) -> TypeGuard[str]:
    """Whether a value is a string that can be written as UTF-8: JSON may hold halves of signs."""
    return isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value)
