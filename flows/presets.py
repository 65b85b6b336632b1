"""Named sets of config fields that come with the program."""

from importlib import resources
from typing import Any, Final

import yaml

from schemas.errors import UsageError

__all__ = ["PRESETS", "read_preset"]

PRESETS: Final = ("published",)


def read_preset(name: str) -> dict[str, Any]:
    """Return a preset's fields by stage.

    Raises:
        UsageError: if there is no such preset.
    """
    if name not in PRESETS:
        raise UsageError(f"--preset must be among {', '.join(PRESETS)}, got {name}")
    text = (resources.files("flows") / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    fields: dict[str, Any] = yaml.safe_load(text)
    return fields
