"""Records read in bulk against projectaria-tools, which reads them one by one."""

import struct
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.imu.aria_records import (
    AriaImuRecords,
    find_aria_imu,
    open_aria_provider,
    open_bulk_source,
    provider_source,
)
from pipelines.imu.vrs_file import UnknownVrsError, VrsFile, read_vrs_file
from pipelines.synthetic.aria_imu import make_calib_json
from pipelines.synthetic.vrs_writer import AriaImuBlock, AriaImuStream, write_aria_vrs
from schemas.errors import TakeError
from schemas.time import NS_PER_MS, NS_PER_S

pytest.importorskip("projectaria_tools.core.data_provider")

REAL = ["aria_everyday_activities.vrs", "aria_unit_test.vrs"]
INDEX_AT = 24
RIGHT, LEFT = "imu-right", "imu-left"


def write(path: Path, *, seconds: float = 0.5, device: str = "Aria") -> Path:
    """Write both IMUs, the samples random, some flagged and some not finite."""
    rng = np.random.default_rng(0)
    blocks = []
    for instance, hz in ((1, 1000), (2, 800)):
        count = round(seconds * hz)
        accel, gyro = rng.normal(size=(2, count, 3))
        accel[5, 1], gyro[7, 2] = np.nan, np.inf
        blocks.append(
            AriaImuBlock(
                instance=instance,
                t_ns=300 * NS_PER_S + np.arange(count) * (NS_PER_S // hz),
                accel_m_s2=accel,
                gyro_rad_s=gyro,
                accel_valid=rng.random(count) > 0.1,
                gyro_valid=rng.random(count) > 0.1,
            )
        )
    write_aria_vrs(
        path,
        streams=[
            AriaImuStream(instance=1, label=RIGHT, nominal_rate_hz=1000),
            AriaImuStream(instance=2, label=LEFT, nominal_rate_hz=800),
        ],
        blocks=[blocks],
        calib_json=make_calib_json(),
        tags={"device_type": device},
    )
    return path


Columns = list[npt.NDArray[Any]]


def read_bulk(path: Path, *, label: str, by: int = 10_000) -> Columns:
    """Return every column of all records, read ``by`` of them at a time."""
    vrs = read_vrs_file(path)
    stream = find_aria_imu(vrs, stream=label)
    assert stream is not None
    with open_bulk_source(vrs, stream=stream) as source:
        return join([source.read(a, min(a + by, len(source))) for a in range(0, len(source), by)])


def read_by_library(path: Path, *, label: str) -> Columns:
    source = provider_source(open_aria_provider(path), stream=label, path=path)
    return join([source.read(0, len(source))])


def join(read: list[AriaImuRecords]) -> Columns:
    return [np.concatenate(column) for column in zip(*map(astuple, read), strict=True)]


def assert_same(path: Path, *, label: str, by: int = 10_000) -> int:
    ours, theirs = read_bulk(path, label=label, by=by), read_by_library(path, label=label)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.dtype == other.dtype
        assert np.array_equal(mine, other, equal_nan=mine.dtype == np.float64)
    return len(ours[0])


def spoil(path: Path, *, at: int, raw: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + len(raw)] = raw
    path.write_bytes(data)
    return path


def index_at(path: Path) -> int:
    (at,) = struct.unpack_from("<q", path.read_bytes(), INDEX_AT)
    return int(at)


@pytest.mark.parametrize("by", [7, 10_000])
@pytest.mark.parametrize("label", [RIGHT, LEFT])
@pytest.mark.parametrize("name", REAL)
def test_real_records_are_the_library_s_to_the_bit(
    shared_data: Path, name: str, label: str, by: int
) -> None:
    count = assert_same(shared_data / name, label=label, by=by)
    assert count == {REAL[0]: (400, 319), REAL[1]: (150, 121)}[name][label == LEFT]


@pytest.mark.parametrize("label", [RIGHT, LEFT])
def test_faulty_records_are_the_library_s_to_the_bit(tmp_path: Path, label: str) -> None:
    path = write(tmp_path / "a.vrs")
    assert assert_same(path, label=label, by=33) == {RIGHT: 500, LEFT: 400}[label]


def test_record_flagged_invalid_and_not_finite_come_as_they_are(tmp_path: Path) -> None:
    stamps, accel, gyro, accel_valid, _ = read_bulk(write(tmp_path / "a.vrs"), label=RIGHT)
    assert stamps[:3].tolist() == [300 * NS_PER_S + i * NS_PER_MS for i in range(3)]
    assert np.isnan(accel[5, 1])
    assert np.isinf(gyro[7, 2])
    assert 20 < int((~accel_valid).sum()) < 80


@pytest.mark.parametrize("label", [RIGHT, LEFT])
@pytest.mark.parametrize("by", ["no_index", "index_is_garbage", "index_of_another_file"])
def test_without_a_sound_index_the_records_are_walked(tmp_path: Path, label: str, by: str) -> None:
    path = write(tmp_path / "a.vrs")
    whole = read_bulk(path, label=label)
    if by == "no_index":
        spoil(path, at=INDEX_AT, raw=struct.pack("<q", 0))
    elif by == "index_is_garbage":
        spoil(path, at=INDEX_AT, raw=struct.pack("<q", 1 << 60))
    else:
        # One record longer than it is.
        spoil(path, at=index_at(path) + 32 + 16 + 4 + 4 * 19 + 8, raw=struct.pack("<I", 1110))
    for walked, indexed in zip(read_bulk(path, label=label), whole, strict=True):
        assert np.array_equal(walked, indexed, equal_nan=walked.dtype == np.float64)


@pytest.mark.parametrize("mapped", [1, 5000, 70_000])
def test_bits_do_not_depend_on_what_is_mapped_or_held(
    shared_data: Path, tmp_path: Path, mapped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.imu.vrs_records._MAPPED", mapped)
    monkeypatch.setattr("pipelines.imu.vrs_records._IN_MEMORY", 100)
    monkeypatch.setattr("pipelines.imu.vrs_index._ENTRIES", 64)
    assert assert_same(write(tmp_path / "a.vrs"), label=LEFT) == 400
    assert assert_same(shared_data / REAL[0], label=RIGHT) == 400
    walked = spoil(write(tmp_path / "b.vrs"), at=INDEX_AT, raw=struct.pack("<q", 0))
    assert assert_same(walked, label=RIGHT) == 500


@pytest.mark.parametrize("name", REAL)
def test_a_recording_that_lost_its_power_ends_with_its_last_whole_record(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    data = (shared_data / name).read_bytes()
    path = tmp_path / "cut.vrs"
    path.write_bytes(data[: len(data) * 2 // 3])
    whole = read_bulk(shared_data / name, label=RIGHT)
    cut = read_bulk(path, label=RIGHT)
    # As far as the library reads it.
    assert assert_same(path, label=RIGHT) == len(cut[0])
    assert 0 < len(cut[0]) < len(whole[0])
    for some, all_of_it in zip(cut, whole, strict=True):
        assert np.array_equal(some, all_of_it[: len(some)])


def test_damaged_header_marks_its_record_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs")
    sound = read_bulk(path, label=RIGHT)[0]
    # The capture stamp, which no stamp of the other clock (-1) follows where it is an arrival.
    at = path.read_bytes().index(struct.pack("<qq", int(sound[123]), -1)) - 32 - 11
    for offset, raw in ((0, b"\x70"), (8, b"\0"), (12, b"\x03"), (24, b"\x02"), (26, b"\x01"),
                        (27, b"\x02")):  # fmt: skip
        spoilt = tmp_path / f"{offset}.vrs"
        spoilt.write_bytes(path.read_bytes())
        stamps = read_bulk(spoil(spoilt, at=at + offset, raw=raw), label=RIGHT)[0]
        assert np.flatnonzero(stamps <= 0).tolist() == [123]
        assert np.delete(stamps, 123).tolist() == np.delete(sound, 123).tolist()


def test_file_that_becomes_shorter_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs")
    vrs = read_vrs_file(path)
    stream = find_aria_imu(vrs, stream=RIGHT)
    assert stream is not None
    with open_bulk_source(vrs, stream=stream) as source:
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(TakeError, match=r"vrs_unreadable: .*must not become shorter"):
            source.read(0, len(source))


def test_only_the_first_generation_s_labels_are_known(tmp_path: Path) -> None:
    vrs = read_vrs_file(write(tmp_path / "a.vrs"))
    found = [find_aria_imu(vrs, stream=label) for label in (RIGHT, LEFT, "imu-nowhere")]
    assert [some and some.instance for some in found] == [1, 2, None]
    other = read_vrs_file(write(tmp_path / "b.vrs", device="Oatmeal"))
    with pytest.raises(UnknownVrsError, match="recording of a device 'Oatmeal'"):
        find_aria_imu(other, stream=RIGHT)


def replace_text(path: Path, old: str, new: str) -> Path:
    assert len(old) == len(new)
    data = path.read_bytes()
    assert old.encode() in data
    path.write_bytes(data.replace(old.encode(), new.encode()))
    return path


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        pytest.param("data_layout/size=79", "data_layout+size=79", "not one layout", id="content"),
        pytest.param("data_layout/size=79", "data_layout/size=78", "79 bytes in records of 78",
                     id="size"),
        pytest.param('"accelerometer_valid"', '"accelerometer_vague"', "without accelerometer_val",
                     id="name"),
        pytest.param("Array<float>", "Array<dozen>", "type DataPieceArray<dozen>", id="type"),
        pytest.param('int64_t>", "offset": 11', 'double>",  "offset": 11',
                     "without capture_timestamp_ns", id="kind"),
        pytest.param('"offset": 43', '"offset": -3', "piece at -3", id="offset"),
        pytest.param('"offset": 55', '"offset": 43', "piece at 43", id="order"),
        pytest.param("DL:Data:2:0", "DL:Data:2:1", "0 layouts", id="no_layout"),
    ],
)  # fmt: skip
def test_records_of_another_layout_are_left_to_the_library(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    vrs = read_vrs_file(replace_text(write(tmp_path / "a.vrs"), old, new))
    with pytest.raises(UnknownVrsError, match=why):
        open_stream(vrs)


def open_stream(vrs: VrsFile) -> int:
    stream = find_aria_imu(vrs, stream=RIGHT)
    assert stream is not None
    with open_bulk_source(vrs, stream=stream) as source:
        return len(source)


def test_pieces_are_found_by_name_wherever_they_lie(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs")
    stamps, accel, gyro, *_ = read_bulk(path, label=RIGHT)
    between = '"type": "DataPieceArray<float>", "offset": 43, "size": 3}, {"name": '
    replace_text(
        path,
        f'"accelerometer", {between}"gyroscope", ',
        f'"gyroscope", {between}"accelerometer", ',
    )
    swapped = read_bulk(path, label=RIGHT)
    assert np.array_equal(swapped[0], stamps)
    assert np.array_equal(swapped[1], gyro, equal_nan=True)
    assert np.array_equal(swapped[2], accel, equal_nan=True)
    assert assert_same(path, label=RIGHT) == 500


def test_records_out_of_the_order_of_their_time_are_left_to_the_library(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs")
    # An entry's stamp, amid the index.
    at = index_at(path) + 32 + 8 + 12 + 300 * 19
    for k in range(2):
        spoil(path, at=at + k * 19, raw=struct.pack("<d", 1.0))
    with pytest.raises(UnknownVrsError, match="order of their time"):
        open_stream(read_vrs_file(path))


def test_layout_that_is_no_json_is_left_to_the_library(tmp_path: Path) -> None:
    path = write(tmp_path / "a.vrs")
    head = '{"data_layout": [{"name": "accel'
    replace_text(path, head, head.replace(":", ";", 1))
    with pytest.raises(UnknownVrsError, match="layout that cannot be read: JSONDecodeError"):
        open_stream(read_vrs_file(path))
