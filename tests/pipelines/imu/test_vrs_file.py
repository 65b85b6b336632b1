"""Headers, tags and indices against files written field by field, and real ones."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from pipelines.imu.vrs_file import (
    DATA_RECORD,
    RECORD_HEADER,
    UnknownVrsError,
    VrsFile,
    read_vrs_file,
)
from pipelines.imu.vrs_index import read_index_entries, walk_record_headers
from schemas.errors import TakeError

TYPE = 1202


def text_map(**texts: str) -> bytes:
    body = struct.pack("<I", len(texts))
    for pair in texts.items():
        for text in pair:
            body += struct.pack("<I", len(text)) + text.encode()
    return body


def record(body: bytes, *, type_id: int, form: int, compression: int = 0, unpacked: int = 0,
           instance: int = 0, stamp: float = 0.0, kind: int = 3) -> bytes:  # fmt: skip
    size = 32 + len(body)
    header = struct.pack(
        "<IIiIdHBBI", size, 0, type_id, form, stamp, instance, kind, compression, unpacked
    )
    return header + body


DESCRIPTION = (
    struct.pack("<IiH", 1, TYPE, 1)
    + text_map(mine="of no interest")
    + text_map(layout="a", content="b")
    + text_map(device_type="Aria")
)
# Two streams' records of unequal length, one of them no data.
RECORDS = [(1.0, 1, 3, 5), (1.5, 2, 3, 50), (2.0, 1, 1, 0), (2.5, 1, 3, 5), (3.0, 2, 3, 7)]


def index_body(*, codec: str | None = None, records: list[tuple[float, int, int, int]]) -> bytes:
    """Return an index; as in real files, its entries alone are packed."""
    head = struct.pack("<IiHiHI", 2, TYPE, 1, TYPE, 2, len(records))
    entries = b"".join(
        struct.pack("<dIBiH", stamp, 32 + length, kind, TYPE, instance)
        for stamp, instance, kind, length in records
    )
    return head + (entries if codec is None else pa.compress(entries, codec=codec, asbytes=True))


def write(
    path: Path,
    *,
    codec: str | None = None,
    in_front: bool = False,
    told: list[tuple[float, int, int, int]] | None = None,
    version: bytes = b"VRS1",
    magic: bytes = b"VisionRe",
) -> VrsFile:
    """Write a file of RECORDS whose index tells of ``told``, and return its description."""
    told = RECORDS if told is None else told
    description = record(DESCRIPTION, type_id=2, form=2)
    body = index_body(codec=codec, records=told)
    index = record(body, type_id=1, form=2,
                   compression={None: 0, "lz4": 1, "zstd": 2}[codec],
                   unpacked=0 if codec is None else len(index_body(records=told)))  # fmt: skip
    data = b"".join(
        record(bytes(length), type_id=TYPE, form=2, instance=instance, stamp=stamp, kind=kind)
        for stamp, instance, kind, length in RECORDS
    )
    after = 80 + len(description)
    index_at, first = (after, after + len(index)) if in_front else (after + len(data), 0)
    header = struct.pack("<8sQIIqqqQQQ4s4s", magic, 1, 80, 32, index_at, 80, first, 0, 0, 0,
                         b"cord", version)  # fmt: skip
    rest = index + data if in_front else data + index
    path.write_bytes(header + description + rest)
    return read_vrs_file(path)


def starts_of_data(read: Any, *, instance: int) -> list[int]:
    starts: list[int] = []
    for at, entries in read:
        for entry in entries:
            if (entry["instance"], entry["record_type"]) == (instance, DATA_RECORD):
                starts.append(at)
            at += int(entry["record_size"])
    return starts


@pytest.mark.parametrize("in_front", [False, True])
@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
def test_index_and_walk_find_the_records_where_they_were_written(
    tmp_path: Path, codec: str | None, in_front: bool
) -> None:
    vrs = write(tmp_path / "a.vrs", codec=codec, in_front=in_front)
    lengths = [32 + length for *_, length in RECORDS]
    begin = vrs.first_record + np.cumsum([0, *lengths[:-1]])
    assert starts_of_data(read_index_entries(vrs), instance=1) == [begin[0], begin[3]]
    assert starts_of_data(read_index_entries(vrs), instance=2) == [begin[1], begin[4]]
    for instance in (1, 2):
        walked = starts_of_data(walk_record_headers(vrs), instance=instance)
        assert walked == starts_of_data(read_index_entries(vrs), instance=instance)


def test_description_is_read(tmp_path: Path) -> None:
    vrs = write(tmp_path / "a.vrs")
    assert vrs.tags == {"device_type": "Aria"}
    (stream,) = vrs.streams
    assert (stream.type_id, stream.instance) == (TYPE, 1)
    assert stream.vrs_tags == {"layout": "a", "content": "b"}
    assert vrs.size == (tmp_path / "a.vrs").stat().st_size
    assert vrs.first_record == 80 + 32 + len(DESCRIPTION)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        pytest.param(RECORDS[:-1], "must end at byte", id="one_missing"),
        pytest.param([*RECORDS, (4.0, 1, 3, 9)], "must end at byte", id="one_too_many"),
        pytest.param([(1.0, 1, 3, 6), *RECORDS[1:]], "must end at byte", id="other_size"),
        pytest.param([], "must end at byte", id="empty"),
    ],
)
@pytest.mark.parametrize("in_front", [False, True])
def test_index_of_other_records_is_refused(
    tmp_path: Path, told: list[tuple[float, int, int, int]], why: str, in_front: bool
) -> None:
    vrs = write(tmp_path / "a.vrs", told=told, in_front=in_front)
    with pytest.raises(ValueError, match=why):
        list(read_index_entries(vrs))


@pytest.mark.parametrize(
    ("offset", "raw", "why"),
    [
        pytest.param(0, struct.pack("<I", 31), "a record of 31 bytes", id="short_record"),
        pytest.param(8, struct.pack("<i", 7), "must be of type", id="no_index"),
        pytest.param(27, b"\x07", "must be of type", id="unknown_codec"),
        pytest.param(27, b"\x02", "must fill its record", id="not_zstd"),
        pytest.param(32, struct.pack("<I", 2**32 - 1), "10000 streams at most", id="streams"),
        pytest.param(32, struct.pack("<I", 9_999), "must go on for", id="more_streams"),
        pytest.param(48, struct.pack("<I", 2**32 - 1), "must fill its record", id="records"),
    ],
)
def test_damaged_index_is_refused(tmp_path: Path, offset: int, raw: bytes, why: str) -> None:
    vrs = write(tmp_path / "a.vrs")
    data = bytearray(vrs.path.read_bytes())
    at = vrs.index_offset + offset
    data[at : at + len(raw)] = raw
    vrs.path.write_bytes(data)
    with pytest.raises(ValueError, match=why):
        list(read_index_entries(vrs))


def test_index_of_more_records_than_the_file_holds_is_not_unpacked_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.imu.vrs_index._ENTRIES", 64)
    vrs = write(tmp_path / "a.vrs", codec="zstd", told=[(1.0, 1, 3, 5)] * 10_000)
    lengths: list[int] = []
    with pytest.raises(ValueError, match="must end at byte"):
        lengths.extend(len(entries) for _, entries in read_index_entries(vrs))
    # Each record has 37 bytes, and those of the file 227 together.
    assert lengths == [64]


@pytest.mark.parametrize("offset", [-1, 0, 1 << 62])
def test_index_outside_the_file_is_refused(tmp_path: Path, offset: int) -> None:
    vrs = write(tmp_path / "a.vrs")
    data = bytearray(vrs.path.read_bytes())
    data[24:32] = struct.pack("<q", offset)
    vrs.path.write_bytes(data)
    with pytest.raises(ValueError, match="index must be readable, got a record at"):
        list(read_index_entries(read_vrs_file(vrs.path)))


def test_walk_leaves_a_record_out_that_the_file_s_end_cuts_off(tmp_path: Path) -> None:
    vrs = write(tmp_path / "a.vrs", in_front=True)
    whole = starts_of_data(walk_record_headers(vrs), instance=2)
    data = vrs.path.read_bytes()
    for cut, left in ((1, 1), (7 + 31, 1), (7 + 32, 1), (7 + 33, 1)):
        vrs.path.write_bytes(data[:-cut])
        walked = starts_of_data(walk_record_headers(read_vrs_file(vrs.path)), instance=2)
        assert walked == whole[:left]


def test_walk_into_nonsense_is_refused(tmp_path: Path) -> None:
    vrs = write(tmp_path / "a.vrs")
    data = bytearray(vrs.path.read_bytes())
    at = vrs.first_record + 37
    data[at : at + 4] = struct.pack("<I", 31)
    vrs.path.write_bytes(data)
    with pytest.raises(TakeError, match=f"vrs_unreadable: .* a record of 31 bytes at {at} "):
        list(walk_record_headers(vrs))


@pytest.mark.parametrize(
    ("settings", "error", "why"),
    [
        pytest.param({"magic": b"Visionre"}, TakeError, "got another format", id="magic"),
        pytest.param({"version": b"WRS1"}, UnknownVrsError, "version b'WRS1'", id="version"),
    ],
)
def test_other_formats_are_refused(
    tmp_path: Path, settings: dict[str, bytes], error: type[Exception], why: str
) -> None:
    with pytest.raises(error, match=why):
        write(tmp_path / "a.vrs", version=settings.get("version", b"VRS1"),
              magic=settings.get("magic", b"VisionRe"))  # fmt: skip


@pytest.mark.parametrize(
    ("offset", "raw", "why"),
    [
        pytest.param(80, struct.pack("<I", 1 << 30), "a record of 1073741792 bytes", id="size"),
        pytest.param(112, struct.pack("<I", 1 << 31), "2147483648 entries", id="streams"),
        pytest.param(122, struct.pack("<I", 1 << 31), "2147483648 entries", id="tags"),
        pytest.param(126, struct.pack("<I", 1 << 31), "2147483648 entries", id="text"),
        pytest.param(112, struct.pack("<I", 7), "description", id="more_streams_than_told"),
        pytest.param(32, struct.pack("<q", -5), "a record at -5", id="description"),
        pytest.param(40, struct.pack("<q", 1 << 40), "a first record at", id="first_record"),
    ],
)
def test_damaged_description_is_refused(tmp_path: Path, offset: int, raw: bytes, why: str) -> None:
    path = write(tmp_path / "a.vrs").path
    data = bytearray(path.read_bytes())
    data[offset : offset + len(raw)] = raw
    path.write_bytes(data)
    with pytest.raises(TakeError, match=f"vrs_unreadable: VRS must be readable, got .*{why}"):
        read_vrs_file(path)


@pytest.mark.parametrize("length", [0, 79, 80, 111, 200])
def test_file_cut_off_in_its_description_is_refused(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "a.vrs").path
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(TakeError, match="vrs_unreadable"):
        read_vrs_file(path)


@pytest.mark.parametrize("name", ["aria_everyday_activities.vrs", "aria_unit_test.vrs"])
def test_real_index_is_what_a_walk_finds(shared_data: Path, name: str) -> None:
    def joined(read: Any) -> npt.NDArray[np.void]:
        return np.concatenate([entries.copy() for _, entries in read])

    vrs = read_vrs_file(shared_data / name)
    indexed, walked = joined(read_index_entries(vrs)), joined(walk_record_headers(vrs))
    assert len(indexed) > 100
    assert indexed.tobytes() == walked.tobytes()
    # The description and the index stand in front of the records.
    assert int(indexed["record_size"].sum()) == vrs.size - vrs.first_record
    assert vrs.tags["device_type"] == "Aria"


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
def test_damage_to_an_index_is_told_or_moves_records(tmp_path: Path, codec: str | None) -> None:
    vrs = write(tmp_path / "a.vrs", codec=codec, in_front=codec == "lz4")
    sound = vrs.path.read_bytes()
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(200):
        data = bytearray(sound)
        at = vrs.index_offset + int(rng.integers(120))
        data[at : at + 4] = rng.bytes(4)
        vrs.path.write_bytes(data[: len(sound)])
        try:
            count = sum(len(entries) for _, entries in read_index_entries(vrs))
        except ValueError:
            told += 1
        else:
            assert count <= 120
    assert told > 50


def test_header_has_the_layout_of_the_format() -> None:
    assert RECORD_HEADER.itemsize == 32


def test_description_far_beyond_any_is_left_to_the_library(tmp_path: Path) -> None:
    path = tmp_path / "a.vrs"
    write(path)
    size = (4 << 20) + 1
    data = bytearray(path.read_bytes().ljust(size + 200, b"\0"))
    struct.pack_into("<I", data, 80, 32 + size)
    path.write_bytes(data)
    with pytest.raises(UnknownVrsError, match=f"a description of {size} bytes"):
        read_vrs_file(path)
