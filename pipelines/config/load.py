"""Read a config from YAML and from what the command line lays over it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pipelines.config.prep import PrepConfig
from schemas.errors import UsageError

__all__ = ["load_config"]


def load_config(
    path: Path | None, *, overrides: Mapping[str, Any], base: Mapping[str, Any] | None = None
) -> PrepConfig:
    """Read a YAML config and lay dotted ``overrides`` over it.

    Args:
        path: YAML file, or None for overrides alone.
        overrides: such as ``{"segments.length_ms": 5000}``; later keys win over the file.
        base: fields by stage, such as a profile's; file and overrides win over them.

    Raises:
        UsageError: one sentence for every unknown key, missing field or broken rule.
    """
    raw: Any = {}
    place = str(path) if path is not None else "command line"
    if path is not None:
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UsageError(f"config file must exist, got {path}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"config file must be readable, got {error} [{path}]") from error
        except yaml.YAMLError as error:
            raise UsageError(f"config file must be YAML, got {path}: {error}") from error
        except RecursionError as error:
            raise UsageError(f"config file must not nest so deep [{path}]") from error
    if not isinstance(raw, dict):
        raise UsageError(f"config must be a mapping of stages, got {type(raw).__name__} [{place}]")
    raw = _laid_over(base or {}, raw)
    for dotted, value in overrides.items():
        node = raw
        *parents, leaf = dotted.split(".")
        for name in parents:
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise UsageError(f"{dotted} must name a field of a stage, but {name} is a value")
        node[leaf] = value
    try:
        return PrepConfig.model_validate(raw)
    except ValidationError as error:
        sentences = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'config'}: {_print_rule(e)}" for e in error.errors()
        )
        raise UsageError(f"{sentences} [{place}]") from error


def _print_rule(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        rule = str(error["ctx"]["error"])
        # A rule of ours tells what it got, and of several fields only those that break it.
        return rule if ", got " in rule else f"{rule}, got {error['input']!r:.80}"
    return f"{error['msg']}, got {error['input']!r:.80}"


def _laid_over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of both; what is given wins, stage by stage and field by field."""
    # Copied all the way down: overrides are written into what comes out.
    laid = {k: _laid_over(v, {}) if isinstance(v, Mapping) else v for k, v in base.items()}
    for name, value in given.items():
        below = laid.get(name)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            laid[name] = _laid_over(below, value)
        else:
            laid[name] = value
    return laid
