"""Layouts of records, as a file's tags describe them."""

import json
from collections.abc import Mapping

import pytest

from pipelines.imu.vrs_file import RECORD_HEADER, UnknownVrsError, VrsStream
from pipelines.imu.vrs_records import parse_data_layout

PIECES = {"stamp": ("int64_t", 1), "vector": ("float", 3), "valid": ("Bool", 1)}


def piece(name: str, kind: str, offset: object, **more: object) -> dict[str, object]:
    return {"name": name, "type": f"DataPiece{kind}", "offset": offset, **more}


STAMP = piece("stamp", "Value<int64_t>", 5)
SOUND = [
    piece("valid", "Value<Bool>", 0),
    piece("unread", "Value<uint32_t>", 1),
    STAMP,
    piece("vector", "Array<float>", 13, size=3),
    piece("last", "Value<double>", 25),
]


def stream(described: object, *, content: str = "data_layout/size=33", **tags: str) -> VrsStream:
    vrs_tags = {"DL:Data:2:0": json.dumps({"data_layout": described}), "RF:Data:2": content, **tags}
    return VrsStream(type_id=1202, instance=1, vrs_tags=vrs_tags)


def instead(*, of: str, by: dict[str, object]) -> list[dict[str, object]]:
    return [by if some["name"] == of else some for some in SOUND]


@pytest.mark.parametrize("content", ["data_layout/size=33", "data_layout"])
def test_layout_covers_the_header_and_the_pieces_asked_for(content: str) -> None:
    version, layout = parse_data_layout(stream(SOUND, content=content), pieces=PIECES)
    assert version == 2
    assert layout.itemsize == 32 + 33
    fields: Mapping[str, tuple[object, ...]] = layout.fields or {}
    for name, place in (RECORD_HEADER.fields or {}).items():
        assert fields[name] == place
    told = {name: (str(fields[name][0]), fields[name][1]) for name in PIECES}
    assert told == {
        "stamp": ("int64", 32 + 5),
        "vector": ("('<f4', (3,))", 32 + 13),
        "valid": ("uint8", 32),
    }
    assert set(fields) == {*(RECORD_HEADER.names or ()), *PIECES}


@pytest.mark.parametrize(
    ("described", "why"),
    [
        pytest.param(SOUND[:-1], "layout of 25 bytes in records of 33", id="too_short"),
        pytest.param([], "layout of 0 bytes", id="empty"),
        pytest.param(None, "cannot be read: TypeError", id="null"),
        pytest.param([{"name": "stamp"}], "cannot be read: KeyError", id="no_type"),
        pytest.param([*SOUND, piece("text", "String", 33)], "DataPieceString", id="string"),
        pytest.param([*SOUND, piece("half", "Value<half>", 33)], "Value<half>", id="other_kind"),
        pytest.param(instead(of="stamp", by=piece("stamp", "Value<int64_t>", 6)),
                     "piece at 6 of 1, after 5 bytes", id="hole"),
        pytest.param(instead(of="stamp", by=piece("stamp", "Value<int64_t>", "5")),
                     "piece at 5", id="text_for_a_number"),
        pytest.param(instead(of="stamp", by=piece("stamp", "Value<int64_t>", 5.0)),
                     "piece at 5.0", id="fraction"),
        pytest.param(instead(of="stamp", by=piece("stamp", "Value<uint64_t>", 5)),
                     "layout without stamp, DataPieceValue<int64_t>", id="unsigned"),
        pytest.param(instead(of="stamp", by=piece("other", "Value<int64_t>", 5)),
                     "layout without stamp", id="no_stamp"),
        pytest.param(instead(of="last", by=piece("stamp", "Value<double>", 25)),
                     "names a piece twice", id="twice"),
        pytest.param(instead(of="last", by=piece("last", "Array<double>", 25, size=-1)),
                     "piece at 25 of -1", id="negative"),
        pytest.param([*SOUND, piece("last2", "Array<double>", 33, size=10**9)], "layout of",
                     id="enormous"),
    ],
)  # fmt: skip
def test_layout_of_another_form_is_left_to_the_library(described: object, why: str) -> None:
    with pytest.raises(UnknownVrsError, match=why):
        parse_data_layout(stream(described), pieces=PIECES)


@pytest.mark.parametrize(
    ("content", "tags", "why"),
    [
        pytest.param("data_layout/size=33+image", {}, "not one layout", id="picture_after_it"),
        pytest.param("", {}, "not one layout", id="no_content"),
        pytest.param("data_layout/size=32", {}, "33 bytes in records of 32", id="other_size"),
        pytest.param("data_layout", {"DL:Data:3:0": "{}"}, "2 layouts", id="two_versions"),
    ],
)
def test_records_that_are_not_one_layout_are_left_to_the_library(
    content: str, tags: dict[str, str], why: str
) -> None:
    with pytest.raises(UnknownVrsError, match=why):
        parse_data_layout(stream(SOUND, content=content, **tags), pieces=PIECES)


def test_wrong_length_of_an_array_is_left_to_the_library() -> None:
    pieces = {"vector": ("float", 4)}
    with pytest.raises(UnknownVrsError, match="layout without vector, DataPieceArray<float>"):
        parse_data_layout(stream(SOUND), pieces=pieces)
