"""The specification names everything a version holds, and suffices to read one by hand."""

import json
import re
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config import QualityConfig
from pipelines.segments import filters, quality_limits, windows
from schemas.embedding import EmbeddingSpec
from schemas.manifest import QUARANTINE_SCHEMA, ArraySpec, Counts, Manifest, RunRecord, SourceEntry
from schemas.mask import MASK_SCHEMA, MaskRecord, MaskSpec
from schemas.segment import SEGMENT_FIRST_COLUMNS, SEGMENT_SCHEMA
from schemas.store import ARRAY_NAMES
from tests.factories import publish_small_version

FIGURES = ("count", "mean", "p05", "p50", "p95", "max")
DOC = (Path(__file__).parents[2] / "docs" / "store-format.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOC, flags=re.MULTILINE | re.DOTALL))


def rows_of(section: str) -> list[list[str]]:
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_segment_columns_are_specified_in_order_with_type_and_nullability() -> None:
    rows = rows_of("segments.parquet")
    assert [row[0].strip("`") for row in rows] == SEGMENT_SCHEMA.names
    for row, field in zip(rows, SEGMENT_SCHEMA, strict=True):
        assert row[1] == str(field.type), field.name
        assert (row[2] != "no") == field.nullable, field.name
    assert len(SEGMENT_FIRST_COLUMNS) == 17
    assert "The first seventeen columns" in DOC


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("manifest.json", Manifest.model_fields),
        ("manifest.json", Counts.model_fields),
        ("manifest.json", EmbeddingSpec.model_fields),
        ("manifest.json", SourceEntry.model_fields),
        ("manifest.json", ArraySpec.model_fields),
        (
            "manifest.json",
            [
                windows.TAKE_SHORTER,
                filters.IMU_MISSING,
                filters.IMU_GAP,
                filters.FRAMES_MISSING,
                filters.TEXT_EMPTY,
                *quality_limits.LIMIT_REASONS,
            ],
        ),
        ("manifest.json", [*QualityConfig.model_fields, *FIGURES]),
        ("run.json", RunRecord.model_fields),
        ("quarantine.parquet", QUARANTINE_SCHEMA.names),
        ("arrays.zarr", ARRAY_NAMES),
        ("Masks", MASK_SCHEMA.names),
        ("Masks", MaskRecord.model_fields),
        ("Masks", MaskSpec.model_fields),
    ],
)
def test_every_name_is_specified(section: str, names: list[str]) -> None:
    assert [name for name in names if f"`{name}`" not in SECTIONS[section]] == []


def test_version_can_be_read_by_the_specification_alone(tmp_path: Path) -> None:
    publish_small_version(tmp_path)
    version = json.loads((tmp_path / "refs/latest.json").read_text())["version"]
    folder = tmp_path / "versions" / version
    data = (folder / "manifest.json").read_bytes()
    assert sha256(data).hexdigest()[:16] == version
    manifest = json.loads(data)
    for entry in manifest["objects"]:
        content = (folder / entry["path"]).read_bytes()
        assert (len(content), sha256(content).hexdigest()) == (entry["size"], entry["sha256"])
    table = pq.read_table(folder / "segments.parquet")
    rows, imu = len(table), manifest["imu"]
    shapes = {
        "imu": ("<f4", (len(imu["channels"]), imu["samples"])),
        "video": ("<f2", (manifest["encoder"]["video_dim"],)),
        "text": ("<f2", (manifest["encoder"]["text_dim"],)),
        "valid": ("?", (3,)),
    }
    arrays = {}
    for name, (dtype, row) in shapes.items():
        chunk = folder / "arrays.zarr" / name / "c" / "/".join("0" * (len(row) + 1))
        arrays[name] = np.frombuffer(chunk.read_bytes(), dtype).reshape(4096, *row)[:rows]
    flags = [table[f"has_{name}"].to_numpy() for name in ("imu", "video", "text")]
    np.testing.assert_array_equal(arrays["valid"], np.stack(flags, axis=1))
    norms = np.linalg.norm(arrays["video"].astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, 1, atol=2e-3)
    assert np.isfinite(arrays["imu"]).all()


def test_drop_reasons_are_specified_in_the_order_they_are_tried() -> None:
    reasons = [row[0].strip("`") for row in rows_of("manifest.json")]
    assert reasons[-len(quality_limits.LIMIT_REASONS) :] == list(quality_limits.LIMIT_REASONS)


def test_segment_ids_follow_the_specification(tmp_path: Path) -> None:
    version = publish_small_version(tmp_path, takes=2).version
    table: pa.Table = pq.read_table(tmp_path / f"versions/{version}/segments.parquet")
    members = ["dataset", "take_uid", "start_ns", "end_ns", "text_source", "pass_uid"]
    members += ["narration_ns", "text_raw"]
    for row in table.to_pylist():
        text = json.dumps([*(row[m] for m in members), 0], separators=(",", ":"))
        assert row["segment_id"] == sha256(text.encode()).hexdigest()[:32]
