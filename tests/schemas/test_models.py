"""The closed models: what they refuse, and that they come back from JSON as they were."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from schemas.embedding import EmbeddingSpec, frames_part_schema, text_part_schema
from schemas.manifest import QUARANTINE_SCHEMA, Counts, Drop, Manifest, ObjectEntry, RunRecord
from schemas.mask import MASK_SCHEMA, MaskRecord, MaskSpec
from schemas.modality import MODALITIES
from schemas.narration import Narration
from schemas.store import FORMAT_VERSION
from schemas.take import Take

SPEC: dict[str, Any] = {
    "name": "clip",
    "revision": None,
    "weights_sha256": "0" * 64,
    "video_dim": 8,
    "text_dim": 6,
    "image_size": 224,
    "max_tokens": 77,
    "batch_size": 32,
    "device_kind": "cpu",
    "precision": "float32",
}
MANIFEST: dict[str, Any] = {
    "dataset": "egoexo4d",
    "config": {"a": 1},
    "sources": [{"take_uid": "t", "path": "p", "size": 1, "fingerprint": "f"}],
    "encoder": SPEC,
    "part_versions": {"imu": 1},
    "imu": {"channels": ["x"], "units": ["m"], "samples": 1, "rate_hz": "50", "length_ns": 1},
    "counts": {"planned": 1, "stored": 1, "takes": 1},
    "objects": [{"path": "a", "size": 0, "sha256": "0"}],
}
MASK: dict[str, Any] = {"name": "tenth", "keep": 0.1}


@pytest.mark.parametrize(
    ("model", "data"),
    [(EmbeddingSpec, SPEC), (Manifest, MANIFEST), (MaskSpec, MASK)],
    ids=["encoder", "manifest", "mask"],
)
def test_models_are_closed_frozen_and_come_back(
    model: type[BaseModel], data: dict[str, Any]
) -> None:
    made = model.model_validate(data)
    assert model.model_validate_json(made.model_dump_json()) == made
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({**data, "surprise": 1})
    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, next(iter(data)), data[next(iter(data))])
    for name in data:
        with pytest.raises(ValidationError, match="Field required"):
            model.model_validate({k: v for k, v in data.items() if k != name})


def test_manifest_carries_this_codes_format() -> None:
    assert Manifest.model_validate(MANIFEST).format_version == FORMAT_VERSION


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"keep": 1.1}, "less than or equal to 1"),
        ({"keep": -0.1}, "greater than or equal to 0"),
        ({"modalities": []}, "at least 1 item"),
        ({"modalities": ["imu"]}, "'video' or 'text'"),
        ({"unit": "frame"}, "'segment', 'take' or 'participant'"),
    ],
)
def test_mask_recipe_is_checked(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MaskSpec.model_validate({**MASK, **fields})


@pytest.mark.parametrize("name", ["Tenth", "../x", "0123456789abcdef"])
def test_mask_name_has_the_form_of_a_tag(name: str) -> None:
    with pytest.raises(Exception, match="tag must match"):
        MaskSpec.model_validate({**MASK, "name": name})


def test_mask_record_binds_recipe_to_version() -> None:
    record = MaskRecord(
        version="0" * 16,
        spec=MaskSpec(**MASK),
        units=10,
        kept_units=1,
        rows=10,
        kept_rows=1,
        sha256="0",
    )
    assert MaskRecord.model_validate_json(record.model_dump_json()) == record
    assert MASK_SCHEMA.names == ["segment_id", *(f"keep_{name}" for name in MODALITIES)]


@pytest.mark.parametrize("field", ["planned", "stored", "takes", "shared_participants"])
def test_counts_are_never_negative(field: str) -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Counts.model_validate({"planned": 0, "stored": 0, "takes": 0, field: -1})


def test_object_sizes_are_never_negative() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        ObjectEntry(path="a", size=-1, sha256="0")


def test_run_record_has_room_for_its_own_digest() -> None:
    assert RunRecord.model_fields["sha256"].default == ""


def test_modalities_are_always_in_this_order() -> None:
    assert MODALITIES == ("imu", "video", "text")


def test_plain_records_are_frozen() -> None:
    narration = Narration(narration_ns=1, text_raw="C a", text="a", text_source="s", pass_uid="p")
    take = Take(
        dataset="d",
        take_uid="t",
        take_name="n",
        participant=None,
        label=None,
        video=None,
        imu=None,
    )
    for record, name in ((narration, "text"), (take, "label"), (Drop("x"), "reason")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, name, "other")
    with pytest.raises(TypeError, match="does not support item assignment"):
        take.extras["x"] = 1  # type: ignore[index]


@pytest.mark.parametrize("dim", [1, 512])
def test_part_schemas_hold_raw_float16_vectors_of_the_given_length(dim: int) -> None:
    for schema in (frames_part_schema(dim), text_part_schema(dim)):
        kind = schema.field("embedding").type
        assert kind.list_size == dim
        assert str(kind.value_type) == "halffloat"


def test_quarantine_names_take_reason_and_segments() -> None:
    assert QUARANTINE_SCHEMA.names == [
        "dataset",
        "take_uid",
        "take_name",
        "reason",
        "detail",
        "segments",
    ]
