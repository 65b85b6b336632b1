"""A CLIP's files: where they lie, which of them count, what they say and their digest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from huggingface_hub.errors import HTTPError as HubHTTPError  # type: ignore[attr-defined]

from pipelines.config import EncoderConfig
from pipelines.storage.files import file_sha256
from pipelines.video.preprocess import CLIP_MEAN, CLIP_STD
from schemas.errors import UsageError
from schemas.limits import LARGEST_ENCODER_SIZE, LARGEST_SETTINGS_BYTES, MOST_ENCODER_LAYERS
from schemas.store import parse_json

__all__ = [
    "BPE_FILE",
    "MEANING_FIELD",
    "EncoderFiles",
    "check_preprocessing",
    "digest_files",
    "find_files",
    "read_settings",
]

MEANING_FIELD: Final = "meaning"
"""Field of a folder's config.json that warns of weights without meaning."""

BPE_FILE: Final = "bpe_simple_vocab_16e6.txt.gz"
"""OpenAI's merges, as they lie beside CLIP4Clip's code."""

_TOKENIZER_FILES: Final = (
    "added_tokens.json",
    "merges.txt",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    BPE_FILE,
)
_SETTING_FILES: Final = ("config.json", "preprocessor_config.json")
# Old hub revisions hold only the second; it is read by torch's weights-only loader.
_WEIGHT_PATTERNS: Final = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderFiles:
    """Which files an encoder is made of."""

    folder: Path
    weights: tuple[Path, ...]
    """Sorted; at least one."""
    revision: str | None
    """Resolved, of a hub name."""
    name: str
    """Without a path: the folder's own, or that on the hub."""


def find_files(config: EncoderConfig) -> EncoderFiles:
    """Return the files of the encoder that a config names: a folder, a checkpoint or a hub name.

    Raises:
        UsageError: if it is none of them, cannot be had or holds no weights.
    """
    local = Path(config.name)
    if local.exists() and config.revision is not None:
        raise UsageError(f"encoder.revision belongs to a hub name, got a local path {config.name}")
    if local.is_dir():
        return _of_folder(local, revision=None, name=local.resolve().name)
    if local.is_file():
        # One of several checkpoints in a folder: what tells them apart is their digest.
        name = local.resolve().parent.name
        return EncoderFiles(folder=local.parent, weights=(local,), revision=None, name=name)
    if local.is_absolute() or config.name.startswith((".", "~")) or config.name.count("/") != 1:
        raise UsageError(
            "encoder.name must be an existing folder, a checkpoint file or a hub name of the form "
            f"OWNER/NAME, got {config.name}"
        )
    snapshot = _download(config)
    return _of_folder(snapshot, revision=snapshot.name, name=config.name)


def _of_folder(folder: Path, *, revision: str | None, name: str) -> EncoderFiles:
    weights = tuple(_list_files(folder, _WEIGHT_PATTERNS))
    if not weights:
        raise UsageError(
            f"encoder folder must hold model.safetensors or pytorch_model.bin, got {folder}"
        )
    for path in _list_files(folder, (*_SETTING_FILES, *_TOKENIZER_FILES)):
        size = path.stat().st_size
        if size > LARGEST_SETTINGS_BYTES:
            raise UsageError(
                f"{path.name} must have at most {LARGEST_SETTINGS_BYTES} bytes, got {size} [{path}]"
            )
    return EncoderFiles(folder=folder, weights=weights, revision=revision, name=name)


def _download(config: EncoderConfig) -> Path:
    patterns = [*_SETTING_FILES, *_TOKENIZER_FILES, *_WEIGHT_PATTERNS, "*.index.json"]
    try:
        snapshot = snapshot_download(config.name, revision=config.revision, allow_patterns=patterns)
    # The hub's HTTP client has one error for refusals, proxies and connections that break.
    except (HubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UsageError(
            f"encoder.name {config.name} could not be downloaded and was not before: "
            f"{_first_sentence(error)}; name a local folder instead, a snapshot downloaded "
            "elsewhere or one of random weights from primus-prep make-encoder"
        ) from error
    return Path(snapshot)


def _first_sentence(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")


def read_settings(folder: Path, *, required: bool) -> dict[str, Any]:
    """Return config.json; nothing where there is none and none is ``required``.

    Raises:
        UsageError: if it is missing or no JSON.
    """
    path = folder / "config.json"
    try:
        settings = parse_json(path.read_text())
    except FileNotFoundError as error:
        if not required:
            return {}
        raise UsageError(f"encoder folder must hold config.json, got {folder}") from error
    except ValueError as error:
        raise UsageError(f"config.json must be JSON, got {error} [{path}]") from error
    if not isinstance(settings, dict):
        raise UsageError(f"config.json must be an object, got {type(settings).__name__} [{path}]")
    _check_sizes(settings, path=path)
    return settings


def _check_sizes(settings: Mapping[str, Any], *, path: Path) -> None:
    """Refuse towers that nobody could run, before modules are made of them."""
    for name, value in settings.items():
        if isinstance(value, dict):
            _check_sizes(value, path=path)
        most = MOST_ENCODER_LAYERS if name.endswith("_layers") else LARGEST_ENCODER_SIZE
        whole = isinstance(value, int) and not isinstance(value, bool)
        if whole and name.endswith(("_size", "_layers", "_dim", "_embeddings")) and value > most:
            raise UsageError(f"{name} must be at most {most}, got {value} [{path}]")


def check_preprocessing(folder: Path, *, image_size: int) -> None:
    """Refuse a folder that asks for another preprocessing than CLIP's.

    Args:
        folder: of the encoder.
        image_size: side of the picture that the vision tower takes, pixels.

    Raises:
        UsageError: with the setting that differs.
    """
    path = folder / "preprocessor_config.json"
    if not path.exists():
        return
    try:
        wanted = parse_json(path.read_text())
    except ValueError as error:
        raise UsageError(f"{path.name} must be JSON, got {error} [{path}]") from error
    if not isinstance(wanted, dict):
        raise UsageError(f"{path.name} must be an object, got {type(wanted).__name__} [{path}]")
    ours: dict[str, Any] = {
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
        "resample": 3,
    }
    crop = wanted.get("crop_size", image_size)
    found = {
        **{key: wanted[key] for key in ours if key in wanted},
        "crop_size": crop.get("height") if isinstance(crop, dict) else crop,
    }
    for key, value in {**ours, "crop_size": image_size}.items():
        if key in found and not _is_close(found[key], value):
            raise UsageError(f"{key} must be CLIP's {value}, got {found[key]!a:.200} [{path}]")


def _is_close(found: Any, value: Any) -> bool:  # noqa: ANN401 - whatever JSON can say
    try:
        numbers = np.asarray(found, np.float64)
        return numbers.shape == np.shape(value) and np.allclose(numbers, value, rtol=0, atol=1e-6)
    except (TypeError, ValueError, OverflowError):
        return False


def digest_files(files: EncoderFiles) -> str:
    """Return the SHA-256 over names and digests of weights, settings and tokenizer, in hex."""
    others = _list_files(files.folder, (*_SETTING_FILES, *_TOKENIZER_FILES))
    digest = sha256()
    for path in sorted({*files.weights, *others}):
        digest.update(f"{path.name}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _list_files(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Return the folder's files that match, sorted; no ``.bin`` beside safetensors."""
    found = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    if any(path.suffix == ".safetensors" for path in found):
        found = [path for path in found if path.suffix != ".bin"]
    return found
