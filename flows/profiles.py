"""Named sets of config fields that come with the program."""

from importlib import resources
from typing import Any, Final

import yaml

from schemas.errors import UsageError

__all__ = ["PROFILES", "read_profile"]

PROFILES: Final = ("published",)


def read_profile(name: str) -> dict[str, Any]:
    """Return a profile's fields by stage.

    Raises:
        UsageError: if there is no such profile.
    """
    if name not in PROFILES:
        raise UsageError(f"--profile must be among {', '.join(PROFILES)}, got {name}")
    text = (resources.files("flows") / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    fields: dict[str, Any] = yaml.safe_load(text)
    return fields
