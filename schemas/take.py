"""A take: one continuous recording of one person, and the owner of the take clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["ImuStream", "Take", "VideoStream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStream:
    """One video file of a take."""

    path: str
    """Relative to the dataset root, with forward slashes."""
    variant: str
    """Which copy of the picture this is, such as ``448`` or ``full``."""
    later_paths: tuple[str, ...] = ()
    """Further files of one recording that its camera cut into chapters, in order."""

    @property
    def paths(self) -> tuple[str, ...]:
        """All files of the stream, in order."""
        return (self.path, *self.later_paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImuStream:
    """Where a take's IMU samples lie."""

    path: str
    """Relative to the dataset root, with forward slashes."""
    label: str
    """The stream inside the file, such as ``imu-right``."""
    later_paths: tuple[str, ...] = ()
    """Further files that hold the same stream: later chapters, or the other sensor."""

    @property
    def paths(self) -> tuple[str, ...]:
        """All files of the stream, in order."""
        return (self.path, *self.later_paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """What a dataset's metadata says of one take, before any sample is read."""

    dataset: str
    take_uid: str
    take_name: str
    participant: str | None
    """``<dataset>:<id>``; None where the dataset does not say."""
    label: str | None
    """Activity class; None where unknown."""
    task_family: str | None = None
    """The dataset's own family of activities, such as Ego-Exo4D's task or Ego4D's scenario."""
    video: VideoStream | None
    imu: ImuStream | None
    duration_ns: int | None = None
    """By the metadata, before any file is opened; None where they do not say."""
    clock_paths: tuple[str, ...] = ()
    """Further files that decide the take clock, relative to the dataset root."""
    extras: Mapping[str, str | int | float | bool | None] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """What decides the take clock and lies in no file of its own (row numbers); enters keys."""
