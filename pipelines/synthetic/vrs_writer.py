"""Write the IMU streams of an Aria recording as a VRS file, byte for byte as readers expect it.

The layout is VRS "VRS1": file header, description record, one configuration and one state record
per stream, data records of all streams in time order, and the index record last.
"""

import json
import shutil
import struct
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np
import numpy.typing as npt

__all__ = ["AriaImuBlock", "AriaImuStream", "write_aria_vrs"]

_IMU_TYPE: Final = 1202
_FORMAT: Final = 2
_STATE, _CONFIGURATION, _DATA, _TAGS = 1, 2, 3, 4
_FILE_HEADER: Final = struct.Struct("<IIQIIqqqQQQII")
_RECORD_HEADER: Final = struct.Struct("<IIiIdHBBI")
# From the sample to its arrival in the recording.
_ARRIVES_NS: Final = 2_000_000
_DBL_MAX: Final = 1.7976931348623157e308

_DATA_RECORD: Final = np.dtype(
    [
        ("record_size", "<u4"),
        ("previous_size", "<u4"),
        ("type_id", "<i4"),
        ("format_version", "<u4"),
        ("timestamp", "<f8"),
        ("instance", "<u2"),
        ("record_type", "u1"),
        ("compression", "u1"),
        ("uncompressed_size", "<u4"),
        ("accelerometer_valid", "u1"),
        ("gyroscope_valid", "u1"),
        ("magnetometer_valid", "u1"),
        ("temperature_deg_c", "<f8"),
        ("capture_timestamp_ns", "<i8"),
        ("capture_timestamp_in_processing_clock_domain_ns", "<i8"),
        ("arrival_timestamp_ns", "<i8"),
        ("processing_start_timestamp_ns", "<i8"),
        ("accelerometer", "<f4", 3),
        ("gyroscope", "<f4", 3),
        ("magnetometer", "<f4", 3),
    ]
)
_INDEX_ENTRY: Final = np.dtype(
    [
        ("timestamp", "<f8"),
        ("record_size", "<u4"),
        ("record_type", "u1"),
        ("type_id", "<i4"),
        ("instance", "<u2"),
    ]
)
_PAYLOAD_TYPES: Final = {
    "accelerometer_valid": "DataPieceValue<Bool>",
    "gyroscope_valid": "DataPieceValue<Bool>",
    "magnetometer_valid": "DataPieceValue<Bool>",
    "temperature_deg_c": "DataPieceValue<double>",
    "capture_timestamp_ns": "DataPieceValue<int64_t>",
    "capture_timestamp_in_processing_clock_domain_ns": "DataPieceValue<int64_t>",
    "arrival_timestamp_ns": "DataPieceValue<int64_t>",
    "processing_start_timestamp_ns": "DataPieceValue<int64_t>",
    "accelerometer": "DataPieceArray<float>",
    "gyroscope": "DataPieceArray<float>",
    "magnetometer": "DataPieceArray<float>",
}
_CONFIG_FIELDS: Final = (
    ("stream_index", "uint32_t", 0),
    ("device_id", "uint64_t", 4),
    ("nominal_rate", "double", 12),
    ("has_accelerometer", "Bool", 20),
    ("has_gyroscope", "Bool", 21),
    ("has_magnetometer", "Bool", 22),
)
_CONFIG_STRINGS: Final = (
    "device_type",
    "device_version",
    "device_serial",
    "sensor_model",
    "factory_calibration",
    "online_calibration",
    "description",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AriaImuStream:
    """What a stream is, apart from its samples.

    Attributes:
        instance: n of stream id ``1202-n``: 1 is imu-right and 2 imu-left on Aria Gen 1.
        label: ``imu-right`` or ``imu-left``.
        nominal_rate_hz: as the configuration record states it.
        sensor_model: chip name.
    """

    instance: int
    label: str
    nominal_rate_hz: float
    sensor_model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AriaImuBlock:
    """Consecutive samples of one stream, as the chip gave them.

    Attributes:
        instance: the stream they belong to.
        t_ns: (N,) int64, device clock, increasing: the order of the records.
        accel_m_s2: (N, 3) raw, sensor frame; stored as float32.
        gyro_rad_s: (N, 3) raw, sensor frame; stored as float32.
        accel_valid: (N,) bool; None where all are valid.
        gyro_valid: (N,) bool; None where all are valid.
        stamps_ns: (N,) int64 capture stamps inside the records; None where they are ``t_ns``.
    """

    instance: int
    t_ns: npt.NDArray[np.int64]
    accel_m_s2: npt.NDArray[np.floating]
    gyro_rad_s: npt.NDArray[np.floating]
    accel_valid: npt.NDArray[np.bool_] | None = None
    gyro_valid: npt.NDArray[np.bool_] | None = None
    stamps_ns: npt.NDArray[np.int64] | None = None


def write_aria_vrs(
    path: Path,
    *,
    streams: Sequence[AriaImuStream],
    blocks: Iterable[Sequence[AriaImuBlock]],
    calib_json: str | None,
    tags: Mapping[str, str] | None = None,
    creation_id: int = 1,
) -> int:
    """Write an Aria VRS file of IMU streams only, in bounded memory, and return its data records.

    Args:
        path: file to write.
        streams: what the file holds, in the order of its configuration records.
        blocks: successive stretches of time; each a block of every stream that has samples in it.
            Samples are merged by time inside a stretch; stretches must follow each other.
        calib_json: the calibration as the file tag of that name; None leaves the tag out.
        tags: further file tags; ``device_type`` is ``Aria`` unless given.
        creation_id: the file's own number; equal numbers and samples give equal bytes.

    Raises:
        ValueError: if stamps of a stretch lie before the end of the one before.
    """
    file_tags = {"device_type": "Aria", **(tags or {})}
    if calib_json is not None:
        file_tags["calib_json"] = calib_json
    with path.open("wb") as file, tempfile.TemporaryFile() as index:
        file.write(bytes(_FILE_HEADER.size))
        previous = _write_record(
            file,
            body=_description_body(streams, file_tags=file_tags),
            type_id=2,
            record_type=_DATA,
            timestamp=_DBL_MAX,
            previous=0,
        )
        count = 0
        for record_type, timestamp in ((_CONFIGURATION, 5e-324), (_STATE, 1e-323)):
            for number, stream in enumerate(streams):
                body = _config_body(stream, number=number) if record_type == _CONFIGURATION else b""
                previous = _write_record(
                    file,
                    body=body,
                    type_id=_IMU_TYPE,
                    record_type=record_type,
                    timestamp=timestamp,
                    previous=previous,
                    instance=stream.instance,
                )
                entry = (timestamp, previous, record_type, _IMU_TYPE, stream.instance)
                index.write(np.array([entry], dtype=_INDEX_ENTRY).tobytes())
                count += 1
        preamble = count
        last_ns: int | None = None
        for stretch in blocks:
            records = _data_records(stretch, previous=previous)
            if not len(records):
                continue
            first_ns = int(_recorded_ns(records)[0])
            if last_ns is not None and first_ns < last_ns:
                raise ValueError(
                    f"blocks must follow each other in time, got {first_ns} after {last_ns}"
                )
            last_ns = int(_recorded_ns(records)[-1])
            previous = _DATA_RECORD.itemsize
            file.write(records.tobytes())
            index.write(_index_entries(records).tobytes())
            count += len(records)
        _write_index(file, index=index, streams=streams, count=count, previous=previous)
        _write_file_header(file, creation_id=creation_id)
    return count - preamble


def _data_records(stretch: Sequence[AriaImuBlock], *, previous: int) -> npt.NDArray[np.void]:
    records = np.zeros(sum(len(block.t_ns) for block in stretch), dtype=_DATA_RECORD)
    at = 0
    for block in stretch:
        part = records[at : at + len(block.t_ns)]
        part["instance"] = block.instance
        part["capture_timestamp_ns"] = block.t_ns if block.stamps_ns is None else block.stamps_ns
        part["arrival_timestamp_ns"] = block.t_ns + _ARRIVES_NS
        part["accelerometer"] = block.accel_m_s2
        part["gyroscope"] = block.gyro_rad_s
        part["accelerometer_valid"] = True if block.accel_valid is None else block.accel_valid
        part["gyroscope_valid"] = True if block.gyro_valid is None else block.gyro_valid
        at += len(block.t_ns)
    records = records[np.argsort(records["arrival_timestamp_ns"], kind="stable")]
    records["record_size"] = _DATA_RECORD.itemsize
    records["previous_size"] = _DATA_RECORD.itemsize
    records["previous_size"][:1] = previous
    records["type_id"] = _IMU_TYPE
    records["format_version"] = _FORMAT
    records["timestamp"] = _recorded_ns(records) / 1e9
    records["record_type"] = _DATA
    records["temperature_deg_c"] = np.nan
    records["capture_timestamp_in_processing_clock_domain_ns"] = -1
    records["processing_start_timestamp_ns"] = records["arrival_timestamp_ns"]
    return records


def _recorded_ns(records: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    """Return ``t_ns`` of records, whatever their capture stamps say."""
    recorded: npt.NDArray[np.int64] = records["arrival_timestamp_ns"] - _ARRIVES_NS
    return recorded


def _index_entries(records: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    entries = np.empty(len(records), dtype=_INDEX_ENTRY)
    for name in _INDEX_ENTRY.names or ():
        entries[name] = records[name]
    return entries


def _write_record(
    file: IO[bytes],
    *,
    body: bytes,
    type_id: int,
    record_type: int,
    timestamp: float,
    previous: int,
    instance: int = 0,
) -> int:
    size = _RECORD_HEADER.size + len(body)
    file.write(
        _RECORD_HEADER.pack(
            size, previous, type_id, _FORMAT, timestamp, instance, record_type, 0, 0
        )
    )
    file.write(body)
    return size


def _write_index(
    file: IO[bytes],
    *,
    index: IO[bytes],
    streams: Sequence[AriaImuStream],
    count: int,
    previous: int,
) -> None:
    head = struct.pack("<I", len(streams))
    head += b"".join(struct.pack("<iH", _IMU_TYPE, stream.instance) for stream in streams)
    head += struct.pack("<I", count)
    size = _RECORD_HEADER.size + len(head) + count * _INDEX_ENTRY.itemsize
    file.write(_RECORD_HEADER.pack(size, previous, 1, _FORMAT, _DBL_MAX, 0, _DATA, 0, 0))
    file.write(head)
    index.seek(0)
    shutil.copyfileobj(index, file)
    # Kept for the header: where the index record begins.
    file.seek(-size, 2)


def _write_file_header(file: IO[bytes], *, creation_id: int) -> None:
    index_offset = file.tell()
    file.seek(0)
    file.write(
        _FILE_HEADER.pack(
            int.from_bytes(b"Visi", "little"),
            int.from_bytes(b"onRe", "little"),
            creation_id,
            _FILE_HEADER.size,
            _RECORD_HEADER.size,
            index_offset,
            _FILE_HEADER.size,
            0,
            0,
            0,
            0,
            int.from_bytes(b"cord", "little"),
            int.from_bytes(b"VRS1", "little"),
        )
    )


def _map_body(entries: Mapping[str, str]) -> bytes:
    body = struct.pack("<I", len(entries))
    for key in sorted(entries):
        for text in (key, entries[key]):
            raw = text.encode()
            body += struct.pack("<I", len(raw)) + raw
    return body


def _description_body(streams: Sequence[AriaImuStream], *, file_tags: Mapping[str, str]) -> bytes:
    payload = _DATA_RECORD.itemsize - _RECORD_HEADER.size
    vrs_tags = {
        "DL:Configuration:2:0": _config_layout(),
        "DL:Data:2:0": _data_layout(),
        "RF:Configuration:2": "data_layout",
        "RF:Data:2": f"data_layout/size={payload}",
        "VRS_Original_Recordable_Name": "IMU Data (SLAM)",
        "VRS_Recordable_Flavor": "device/aria",
    }
    body = struct.pack("<I", len(streams))
    for stream in streams:
        body += struct.pack("<iH", _IMU_TYPE, stream.instance) + _map_body({}) + _map_body(vrs_tags)
    return body + _map_body(file_tags)


def _data_layout() -> str:
    pieces: list[dict[str, str | int]] = []
    offset = 0
    for name, kind in _PAYLOAD_TYPES.items():
        piece: dict[str, str | int] = {
            "name": name,
            "type": kind,
            "offset": offset,
        }
        if "Array" in kind:
            piece["size"] = 3
        pieces.append(piece)
        offset += _DATA_RECORD[name].itemsize
    return json.dumps({"data_layout": pieces})


def _config_layout() -> str:
    pieces: list[dict[str, str | int]] = [
        {"name": name, "type": f"DataPieceValue<{kind}>", "offset": offset}
        for name, kind, offset in _CONFIG_FIELDS
    ]
    pieces += [
        {"name": name, "type": "DataPieceString", "index": number}
        for number, name in enumerate(_CONFIG_STRINGS)
    ]
    return json.dumps({"data_layout": pieces})


def _config_body(stream: AriaImuStream, *, number: int) -> bytes:
    strings = {
        "device_type": "Aria",
        "device_version": "DVT-S",
        "device_serial": "SYNTHETIC",
        "sensor_model": stream.sensor_model,
        "description": stream.label,
    }
    fixed = struct.pack("<IQd???", number, 0, stream.nominal_rate_hz, True, True, False)
    pairs, text = b"", b""
    for name in _CONFIG_STRINGS:
        raw = strings.get(name, "").encode()
        pairs += struct.pack("<II", len(text), len(raw))
        text += raw
    return fixed + pairs + text
