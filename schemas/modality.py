"""The three modalities, always in this order."""

from typing import Final, Literal

__all__ = ["MODALITIES", "Modality"]

Modality = Literal["imu", "video", "text"]
MODALITIES: Final[tuple[Modality, ...]] = ("imu", "video", "text")
