"""The records of one Aria IMU as arrays: straight from the file, or by the library that knows all.

Both give the same to the bit. The library, projectaria-tools, takes some 4 us a record; it writes
some lines to the process's stderr on opening a file and offers no switch for it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from pipelines.imu.vrs_file import DATA_RECORD, UnknownVrsError, VrsFile, VrsStream
from pipelines.imu.vrs_records import StreamRecords, open_stream_records, parse_data_layout
from schemas.errors import TakeError

__all__ = [
    "AriaImuRecords",
    "AriaImuSource",
    "find_aria_imu",
    "open_aria_provider",
    "open_bulk_source",
    "provider_source",
]

_IMU_TYPE: Final = 1202
# The second generation has them the other way round, and is left to the library.
_INSTANCES: Final = {"imu-right": 1, "imu-left": 2}
_DEVICE: Final = "Aria"
_PIECES: Final = {
    "accelerometer_valid": ("Bool", 1),
    "gyroscope_valid": ("Bool", 1),
    "capture_timestamp_ns": ("int64_t", 1),
    "accelerometer": ("float", 3),
    "gyroscope": ("float", 3),
}

Scalar = TypeVar("Scalar", np.int64, np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class AriaImuRecords:
    """Successive records of one IMU, as the chip gave them.

    Attributes:
        device_ns: (N,) int64 capture stamps, device clock; 0 or less where a record is damaged.
        accel: (N, 3) float64, m/s2.
        gyro: (N, 3) float64, rad/s.
        accel_valid: (N,) bool.
        gyro_valid: (N,) bool.
    """

    device_ns: npt.NDArray[np.int64]
    accel: npt.NDArray[np.float64]
    gyro: npt.NDArray[np.float64]
    accel_valid: npt.NDArray[np.bool_]
    gyro_valid: npt.NDArray[np.bool_]


class AriaImuSource(Protocol):
    """Where records come from."""

    def __len__(self) -> int:
        """Return how many records there are."""
        ...

    def read(self, start: int, stop: int) -> AriaImuRecords:
        """Return the records ``[start, stop)``."""
        ...


def find_aria_imu(vrs: VrsFile, *, stream: str) -> VrsStream | None:
    """Return the stream of a label, or None if the file has none.

    Raises:
        UnknownVrsError: if the recording device is not an Aria unit of the first generation.
    """
    device = vrs.tags.get("device_type")
    if device != _DEVICE:
        raise UnknownVrsError(f"recording of a device {device!r}")
    wanted = (_IMU_TYPE, _INSTANCES.get(stream))
    found = [some for some in vrs.streams if (some.type_id, some.instance) == wanted]
    return found[0] if found else None


@contextmanager
def open_bulk_source(vrs: VrsFile, *, stream: VrsStream) -> Iterator[AriaImuSource]:
    """Find a stream's records in the file's own bytes.

    Raises:
        TakeError: ``vrs_unreadable`` if the file is damaged.
        UnknownVrsError: if only the library can read them.
    """
    version, layout = parse_data_layout(stream, pieces=_PIECES)
    with open_stream_records(vrs, stream=stream, layout=layout) as records:
        yield _BulkSource(records, stream=stream, version=version, path=vrs.path)


class _BulkSource:
    def __init__(
        self, records: StreamRecords, *, stream: VrsStream, version: int, path: Path
    ) -> None:
        self._records = records
        self._stream = stream
        self._version = version
        self._path = path

    def __len__(self) -> int:
        return len(self._records)

    def read(self, start: int, stop: int) -> AriaImuRecords:
        try:
            rows = self._records.read(start, stop)
        except OSError as error:
            raise TakeError(
                "vrs_unreadable", f"VRS must be readable, got {error} [{self._path}]"
            ) from error
        sound = rows["record_size"] == rows.itemsize
        sound &= rows["type_id"] == self._stream.type_id
        sound &= rows["instance"] == self._stream.instance
        sound &= rows["record_type"] == DATA_RECORD
        sound &= rows["format_version"] == self._version
        sound &= rows["compression"] == 0
        # Each axis in one piece: what follows goes along axes. A signalling NaN, which no chip but
        # only damage gives, becomes a NaN like any other.
        with np.errstate(invalid="ignore"):
            accel, gyro = (
                np.asarray(rows[name], np.float64, order="F")
                for name in ("accelerometer", "gyroscope")
            )
        return AriaImuRecords(
            device_ns=np.where(sound, rows["capture_timestamp_ns"], 0),
            accel=accel,
            gyro=gyro,
            accel_valid=rows["accelerometer_valid"] != 0,
            gyro_valid=rows["gyroscope_valid"] != 0,
        )


def open_aria_provider(path: Path) -> Any:  # noqa: ANN401 - the library ships no types
    """Return the library's own reader of a file.

    Raises:
        TakeError: ``vrs_unreadable``, or ``vrs_layout_unknown`` without projectaria-tools.
    """
    try:
        from projectaria_tools.core import data_provider
    except ImportError as error:
        raise TakeError(
            "vrs_layout_unknown",
            f"projectaria-tools must be importable to read this VRS, got {error} [{path}]",
        ) from error
    try:
        provider = data_provider.create_vrs_data_provider(str(path))
    except (RuntimeError, ValueError) as error:
        raise TakeError("vrs_unreadable", f"VRS must be readable, got {error} [{path}]") from error
    if provider is None:
        raise TakeError("vrs_unreadable", f"VRS must be readable, got another format [{path}]")
    return provider


def provider_source(
    provider: Any,  # noqa: ANN401 - the library ships no types
    *,
    stream: str,
    path: Path,
) -> AriaImuSource:
    """Return a stream's records as the library reads them.

    Raises:
        TakeError: ``imu_stream_missing``.
    """
    stream_id = provider.get_stream_id_from_label(stream)
    if stream_id is None or not provider.check_stream_is_active(stream_id):
        raise TakeError("imu_stream_missing", f"VRS must hold the stream {stream} [{path}]")
    return _ProviderSource(provider, stream_id)


class _ProviderSource:
    def __init__(self, provider: Any, stream_id: Any) -> None:  # noqa: ANN401
        self._provider = provider
        self._stream_id = stream_id

    def __len__(self) -> int:
        count: int = self._provider.get_num_data(self._stream_id)
        return count

    def read(self, start: int, stop: int) -> AriaImuRecords:
        read = self._provider.get_imu_data_by_index
        # The library returns an empty record, of time zero, where it cannot read one.
        data = [read(self._stream_id, i) for i in range(start, stop)]
        return AriaImuRecords(
            device_ns=_column(data, "capture_timestamp_ns", dtype=np.int64),
            accel=_vectors(data, "accel_msec2"),
            gyro=_vectors(data, "gyro_radsec"),
            accel_valid=_column(data, "accel_valid", dtype=np.bool_),
            gyro_valid=_column(data, "gyro_valid", dtype=np.bool_),
        )


def _column(data: Sequence[Any], name: str, *, dtype: type[Scalar]) -> npt.NDArray[Scalar]:
    return np.fromiter(map(attrgetter(name), data), dtype, len(data))


def _vectors(data: Sequence[Any], name: str) -> npt.NDArray[np.float64]:
    flat = np.fromiter(chain.from_iterable(map(attrgetter(name), data)), np.float64, 3 * len(data))
    return flat.reshape(-1, 3)
