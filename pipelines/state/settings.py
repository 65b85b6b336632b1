"""Names for the settings under which what became of a take still holds."""

from pathlib import Path
from typing import Any

from pipelines.config import PrepConfig
from pipelines.parts.keys import PART_VERSIONS
from schemas.store import canonical_json, sha256_hex

__all__ = ["parts_settings", "plan_settings"]


def parts_settings(config: PrepConfig) -> str:
    """Return a digest, 16 hex digits, of all that decides what is made of a take.

    Told from the config alone, without opening the encoder: other weights under the same name are
    not seen here. Windows and splits are no part of it, as they change no part of a take, unless
    only the frames that windows use are covered.
    """
    identity = config.identity()
    dataset: dict[str, Any] = identity["dataset"]
    settings: dict[str, Any] = {
        "dataset": {k: v for k, v in dataset.items() if k not in {"limit", "labels"}},
        "imu": identity["imu"],
        "video": identity["video"],
        "text": identity["text"],
        "audit": identity["audit"],
        "encoder": _encoder(config),
        "parts": dict(PART_VERSIONS),
    }
    if config.video.coverage == "needed":
        settings["segments"] = identity["segments"]
    return _digest(settings)


def plan_settings(config: PrepConfig) -> str:
    """Return a digest, 16 hex digits, of what decides which segments are planned in a take."""
    identity = config.identity()
    return _digest({"segments": identity["segments"], "text": identity["text"]})


def _encoder(config: PrepConfig) -> dict[str, Any]:
    # Frames are pooled when a version is published.
    fields = config.encoder.model_dump(mode="json", exclude={"pooling"})
    folder = Path(config.encoder.name)
    if folder.is_dir():
        # However the same folder is named.
        fields["name"] = str(folder.resolve())
    return fields


def _digest(fields: dict[str, Any]) -> str:
    return sha256_hex(canonical_json(fields))[:16]
