import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from pipelines.stores.files import file_sha256
from pipelines.stores.sealed import (
    read_run_record,
    seal_run_record,
)
from pipelines.stores.verify import verify_version
from schemas.store import canonical_json, version_id


def folder_of(published: tuple[Path, str]) -> Path:
    return published[0] / "versions" / published[1]


def found(published: tuple[Path, str]) -> set[tuple[str, str]]:
    return {(p.loc, p.kind) for p in verify_version(*published)}


def reseal(published: tuple[Path, str], **counts: Any) -> tuple[Path, str]:
    """Give a version whose content was changed digests, id and run record that fit it again."""
    folder = folder_of(published)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    manifest["counts"].update(counts)
    for entry in manifest["objects"]:
        path = folder / entry["path"]
        entry.update(size=path.stat().st_size, sha256=file_sha256(path))
    (folder / "manifest.json").write_bytes(canonical_json(manifest))
    version = version_id(manifest)
    record = seal_run_record(read_run_record(*published).model_copy(update={"version": version}))
    (folder / "run.json").write_bytes(canonical_json(record.model_dump(mode="json")))
    folder.rename(folder.with_name(version))
    return published[0], version


def test_sound_version_has_no_problems(published: tuple[Path, str]) -> None:
    seen: list[int] = []
    assert verify_version(*published, progress=seen.append) == []
    assert seen == [24]


def test_resealing_itself_makes_no_problem(published: tuple[Path, str]) -> None:
    assert verify_version(*reseal(published)) == []


def rewrite_rows(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / "segments.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return damage


def set_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), [values])


def rewrite_array(name: str, change: Callable[[Any], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        array = zarr.open_array(folder / "arrays.zarr" / name, mode="r+")
        values = array[:]
        change(values)
        array[:] = values

    return damage


def fill(index: Any, value: float) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        values[index] = value

    return change


def clear_valid(folder: Path) -> None:
    """Row 3 keeps its video though the flags say it has none."""
    rewrite_array("valid", fill((3, 1), 0))(folder)
    rewrite_rows(lambda t: set_column(t, "has_video", [i != 3 for i in range(len(t))]))(folder)


@pytest.mark.parametrize(
    ("damage", "loc", "kind"),
    [
        pytest.param(
            rewrite_rows(lambda t: t.slice(1)), "segments.parquet", "counts", id="row_removed"
        ),
        pytest.param(
            rewrite_rows(lambda t: t.take([1, 0, *range(2, len(t))])),
            "segments.parquet",
            "order",
            id="rows_swapped",
        ),
        pytest.param(
            rewrite_rows(lambda t: t.take([0, 0, *range(2, len(t))])),
            "segments.parquet",
            "repeat",
            id="row_repeated",
        ),
        pytest.param(
            rewrite_rows(lambda t: t.drop_columns(["label"])),
            "segments.parquet",
            "schema",
            id="promised_column_gone",
        ),
        pytest.param(
            rewrite_rows(lambda t: t.drop_columns(["take_lag_r2"])),
            "segments.parquet",
            "schema",
            id="later_column_gone",
        ),
        pytest.param(
            rewrite_rows(lambda t: set_column(t, "has_text", [False] * len(t))),
            "arrays.zarr/valid",
            "has_text",
            id="flag_differs_from_valid",
        ),
        pytest.param(
            rewrite_array("imu", fill((5, 2, 3), np.nan)), "arrays.zarr/imu", "finite", id="nan_imu"
        ),
        pytest.param(
            rewrite_array("video", fill((5, 2), np.nan)),
            "arrays.zarr/video",
            "finite",
            id="nan_video",
        ),
        pytest.param(
            rewrite_array("text", fill(7, 0.5)), "arrays.zarr/text", "unit_norm", id="norm"
        ),
        pytest.param(clear_valid, "arrays.zarr/video", "invalid_rows", id="invalid_not_zero"),
    ],
)
def test_wrong_content_is_found_even_when_its_digests_fit(
    published: tuple[Path, str], damage: Callable[[Path], None], loc: str, kind: str
) -> None:
    damage(folder_of(published))
    assert found(reseal(published)) == {(loc, kind)}


def test_counts_must_add_up(published: tuple[Path, str]) -> None:
    assert found(reseal(published, planned=25)) == {("manifest.json", "counts")}


def test_quarantine_table_must_hold_what_the_manifest_counts(published: tuple[Path, str]) -> None:
    resealed = reseal(published, planned=26, quarantined={"video_unreadable": 2})
    assert found(resealed) == {("quarantine.parquet", "counts")}


def test_array_of_another_shape_is_told(published: tuple[Path, str]) -> None:
    zarr.open_array(folder_of(published) / "arrays.zarr/text", mode="r+").resize((23, 6))
    assert found(reseal(published)) == {("arrays.zarr/text", "layout")}


def test_unreadable_file_is_a_problem_not_a_crash(published: tuple[Path, str]) -> None:
    (folder_of(published) / "segments.parquet").write_bytes(b"PAR1")
    assert found(reseal(published)) == {("segments.parquet", "unreadable")}
