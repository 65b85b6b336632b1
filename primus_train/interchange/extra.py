"""Libraries that only exports need, and that an installation may lack."""

import importlib
from typing import Any

from schemas.errors import UsageError

__all__ = ["import_extra"]


def import_extra(name: str) -> Any:  # noqa: ANN401 - a module, known by its name alone
    """Return the module called ``name``.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{name} must be installed for this format: it comes with the extra export, "
            f"pip install 'primus-pipelines[export]'"
        ) from error
