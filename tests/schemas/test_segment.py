from hashlib import sha256

import pytest

from schemas.segment import SEGMENT_FIRST_COLUMNS, SEGMENT_SCHEMA, SEGMENT_SORT, make_segment_id

IDENTITY: list[str | int | None] = [
    "egoexo4d",
    "take",
    0,
    5,
    "atomic_descriptions",
    "pass",
    2,
    "C walks.",
    0,
]


def test_first_columns_are_the_promised_ones() -> None:
    assert SEGMENT_FIRST_COLUMNS == (
        "segment_id",
        "dataset",
        "take_uid",
        "take_name",
        "participant",
        "split",
        "label",
        "start_ns",
        "end_ns",
        "narration_ns",
        "text",
        "text_raw",
        "text_source",
        "pass_uid",
        "has_imu",
        "has_video",
        "has_text",
    )
    assert tuple(SEGMENT_SCHEMA.names[:17]) == SEGMENT_FIRST_COLUMNS
    assert set(SEGMENT_SORT) < set(SEGMENT_FIRST_COLUMNS)


def test_id_is_the_digest_of_the_identity() -> None:
    text = '["egoexo4d","take",0,5,"atomic_descriptions","pass",2,"C walks.",0]'
    assert make_segment_id(IDENTITY) == sha256(text.encode()).hexdigest()[:32]


def test_id_of_a_stride_segment_has_nulls() -> None:
    text = '["d","t",0,5,null,null,null,null,0]'
    found = make_segment_id(["d", "t", 0, 5, None, None, None, None, 0])
    assert found == sha256(text.encode()).hexdigest()[:32]


@pytest.mark.parametrize("at", range(9))
def test_every_member_of_the_identity_counts(at: int) -> None:
    other = list(IDENTITY)
    other[at] = "x" if isinstance(other[at], str) else 9
    assert make_segment_id(other) != make_segment_id(IDENTITY)
