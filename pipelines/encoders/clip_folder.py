"""A CLIP's folder: where it lies, which files count, what they say and their digest."""

import json
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from pipelines.config import EncoderConfig
from pipelines.stores.files import file_sha256
from pipelines.video.preprocess import CLIP_MEAN, CLIP_STD
from schemas.errors import UsageError

__all__ = [
    "MEANING_FIELD",
    "WEIGHT_PATTERNS",
    "check_preprocessing",
    "digest_folder",
    "find_folder",
    "list_files",
    "read_settings",
]

MEANING_FIELD: Final = "meaning"
"""Field of a folder's config.json that warns of weights without meaning."""

_TOKENIZER_FILES: Final = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
_SETTING_FILES: Final = ("config.json", "preprocessor_config.json")
# Old hub revisions hold only the second; it is read by torch's weights-only loader.
WEIGHT_PATTERNS: Final = ("*.safetensors", "pytorch_model*.bin")


def find_folder(config: EncoderConfig) -> tuple[Path, str | None, str]:
    """Return the folder a config names, its resolved hub revision and its name without a path.

    Raises:
        UsageError: if it is neither a folder nor a hub name that can be had.
    """
    local = Path(config.name)
    if local.is_dir():
        if config.revision is not None:
            raise UsageError(
                f"encoder.revision belongs to a hub name, got a local folder {config.name}"
            )
        return local, None, local.resolve().name
    if local.is_absolute() or config.name.startswith((".", "~")) or config.name.count("/") != 1:
        raise UsageError(
            "encoder.name must be an existing folder or a hub name of the form OWNER/NAME, "
            f"got {config.name}"
        )
    try:
        snapshot = snapshot_download(
            config.name,
            revision=config.revision,
            allow_patterns=[*_SETTING_FILES, *_TOKENIZER_FILES, *WEIGHT_PATTERNS, "*.index.json"],
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UsageError(
            "encoder.name must be a folder, or a hub name that can be downloaded or was before, "
            f"got {config.name}: {str(error).splitlines()[0]}"
        ) from error
    return Path(snapshot), Path(snapshot).name, config.name


def read_settings(folder: Path) -> dict[str, Any]:
    """Return config.json.

    Raises:
        UsageError: if it is missing or no JSON.
    """
    path = folder / "config.json"
    try:
        settings: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UsageError(f"encoder folder must hold config.json, got {folder}") from error
    except ValueError as error:
        raise UsageError(f"config.json must be JSON, got {error} [{path}]") from error
    return settings


def check_preprocessing(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder that asks for another preprocessing than CLIP's.

    Raises:
        UsageError: with the setting that differs.
    """
    path = folder / "preprocessor_config.json"
    if not path.exists():
        return
    wanted = json.loads(path.read_text())
    size = settings.get("vision_config", {}).get("image_size", 224)
    ours = {"image_mean": list(CLIP_MEAN), "image_std": list(CLIP_STD), "resample": 3}
    crop = wanted.get("crop_size", size)
    found = {
        **{key: wanted[key] for key in ours if key in wanted},
        "crop_size": crop["height"] if isinstance(crop, dict) else crop,
    }
    for key, value in {**ours, "crop_size": size}.items():
        if key in found and not np.allclose(found[key], value, rtol=0, atol=1e-6):
            raise UsageError(f"{key} must be CLIP's {value}, got {found[key]} [{path}]")


def digest_folder(folder: Path) -> str:
    """Return the SHA-256 over names and digests of weights, settings and tokenizer, in hex."""
    used = list_files(folder, (*WEIGHT_PATTERNS, *_SETTING_FILES, *_TOKENIZER_FILES))
    digest = sha256()
    for path in used:
        digest.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def list_files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Return the folder's files that match, sorted; no ``.bin`` beside safetensors."""
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if any(path.suffix == ".safetensors" for path in found):
        found = [path for path in found if path.suffix != ".bin"]
    return found
