"""What every dataset reader offers, so that one road serves them all."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from pipelines.align.clock import TakeClock
from schemas.errors import TakeError, UsageError
from schemas.imu import ImuSamples
from schemas.narration import Narration
from schemas.take import Take

__all__ = ["Catalogue", "DatasetReader", "ImuRecording", "read_limited_catalogue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """A dataset's metadata, read once: takes, their narrations, and what cannot be used."""

    takes: tuple[Take, ...]
    """Every take of the dataset, sorted by take_uid, the faulty ones included."""
    narrations: Mapping[str, tuple[Narration, ...]]
    """By take_uid; sorted by (narration_ns, pass_uid); text_raw only, text not yet cleaned."""
    faults: Mapping[str, TakeError] = field(default_factory=dict)
    """By take_uid: takes that metadata and file presence already rule out."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Reason: annotations not used (rejected passes, unknown takes)."""
    official_split: Mapping[str, str] = field(default_factory=dict)
    """take_uid: train, val or test, where the dataset says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImuRecording:
    """A take's IMU samples as a stream of runs, and what is known of them beforehand."""

    runs: Iterator[ImuSamples]
    """On the take clock, in time order; each run a bounded stretch, never the whole take."""
    frame: str
    """device: rectified and rotated to the device frame; sensor: the chip's own axes."""
    stream: str
    """Label of the stream."""
    info: Mapping[str, str | int | float] = field(default_factory=dict)
    """Recorded in the part: time offsets of the calibration, invalid samples, rates."""


class DatasetReader(Protocol):
    """Reads one dataset folder. Every path it is given or gives is relative to the root."""

    name: str

    def read_catalogue(self) -> Catalogue:
        """Return the dataset's takes and narrations; reads metadata and annotations only.

        Raises:
            UsageError: if the folder or its metadata files are not there.
        """
        ...

    def read_clock(self, take: Take) -> TakeClock:
        """Return the take's clock.

        Raises:
            TakeError: if the clock cannot be told.
        """
        ...

    def read_imu(self, take: Take, clock: TakeClock) -> ImuRecording:
        """Open the take's IMU samples.

        Raises:
            TakeError: if the stream, a sensor or the calibration is missing, here or from the runs.
        """
        ...


def read_limited_catalogue(reader: DatasetReader, *, limit: int | None) -> Catalogue:
    """Return the dataset's catalogue, of its first ``limit`` takes if one is set.

    Raises:
        UsageError: as the reader; if a take is named by what cannot be written down.
    """
    catalogue = reader.read_catalogue()
    for take in catalogue.takes:
        for name in ("take_uid", "take_name", "participant", "label", "task_family"):
            _check_text(getattr(take, name), name=name)
    return catalogue if limit is None else replace(catalogue, takes=catalogue.takes[:limit])


def _check_text(value: str | None, *, name: str) -> None:
    try:
        (value or "").encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{name} must be text that UTF-8 can write, got {value!a}") from error
