import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from pipelines.storage.files import file_sha256
from pipelines.stores.sealed import (
    read_manifest,
    read_run_record,
    seal_run_record,
)
from pipelines.stores.verify import verify_version
from pipelines.stores.verify_tables import _sort_problem
from schemas.segment import SEGMENT_SORT
from schemas.store import canonical_json, sha256_hex, version_id


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
    given = {"version": version, "manifest_sha256": sha256_hex(canonical_json(manifest))}
    record = seal_run_record(read_run_record(*published).model_copy(update=given))
    (folder / "run.json").write_bytes(canonical_json(record.model_dump(mode="json")))
    folder.rename(folder.with_name(version))
    (published[0] / "refs/latest.json").write_bytes(canonical_json({"version": version}))
    return published[0], version


def test_sound_version_has_no_problems(published: tuple[Path, str]) -> None:
    seen: list[tuple[str, int, int]] = []
    assert verify_version(*published, progress=lambda *told: seen.append(told)) == []
    size = sum(entry.size for entry in read_manifest(*published).objects)
    digests = [told for told in seen if told[0] == "digests"]
    assert [done for _, done, _ in digests] == sorted(done for _, done, _ in digests)
    assert digests[-1] == ("digests", size, size)
    assert seen[len(digests) :] == [("rows", 24, 24)]


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


@pytest.mark.parametrize("rows", [1, 2, 5, 23, 24])
@pytest.mark.parametrize("swapped", [1, 11, 22])
def test_rows_out_of_order_are_found_wherever_blocks_end(
    published: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, rows: int, swapped: int
) -> None:
    monkeypatch.setattr("pipelines.stores.verify_tables._SORTED_ROWS", rows)
    assert found(published) == set()
    order = list(range(24))
    order[swapped - 1 : swapped + 1] = [swapped, swapped - 1]
    rewrite_rows(lambda table: table.take(order))(folder_of(published))
    (problem,) = verify_version(*reseal(published))
    assert problem.kind == "order"
    assert f"row {swapped} is not" in problem.message


def test_order_is_that_of_the_names_then_the_numbers() -> None:
    """Oracle: Python's own order of tuples."""
    rng = np.random.default_rng(0)
    names = ["a", "b", "é", "z", "\U0001f600"]
    keys = [
        (*rng.choice(names, 2).tolist(), *rng.integers(-1, 2, 2).tolist(), rng.choice(names))
        for _ in range(400)
    ]
    for pair in pairwise(keys):
        table = pa.table(
            {
                name: list(column)
                for name, column in zip(SEGMENT_SORT, zip(*pair, strict=True), strict=True)
            }
        )
        wanted = "order" if pair[0] > pair[1] else "repeat" if pair[0] == pair[1] else None
        assert next(_sort_problem(table), (None, 0))[0] == wanted


def test_quality_must_be_what_the_rows_give(published: tuple[Path, str]) -> None:
    folder = folder_of(published)
    table = pq.read_table(folder / "segments.parquet")
    values = table["imu_gap_ns"].to_pylist()
    rewrite_rows(lambda t: set_column(t, "imu_gap_ns", [values[0] * 9, *values[1:]]))(folder)
    (problem,) = verify_version(*reseal(published))
    assert (problem.loc, problem.kind) == ("manifest.json", "quality")
    assert "quality.imu_gap_ns must be what the rows of segments.parquet give" in problem.message


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_value_that_is_not_finite_is_told_with_its_row(
    published: tuple[Path, str], value: float
) -> None:
    rewrite_array("imu", fill((13, 5, 9), value))(folder_of(published))
    (problem,) = verify_version(*reseal(published))
    assert problem.message == "must be finite, row 13 is not"


def test_huge_values_are_finite(published: tuple[Path, str]) -> None:
    rewrite_array("imu", fill((13, 5, 9), 3e38))(folder_of(published))
    # Not what the next row has there, but no infinity.
    assert found(reseal(published)) == {("arrays.zarr/imu", "repeated_rows")}


def test_counts_must_add_up(published: tuple[Path, str]) -> None:
    assert found(reseal(published, planned=25)) == {("manifest.json", "counts")}


def test_quarantine_table_must_hold_what_the_manifest_counts(published: tuple[Path, str]) -> None:
    resealed = reseal(published, planned=26, quarantined={"video_unreadable": 2})
    assert found(resealed) == {("quarantine.parquet", "counts")}


def test_array_of_another_shape_is_told(published: tuple[Path, str]) -> None:
    zarr.open_array(folder_of(published) / "arrays.zarr/text", mode="r+").resize((23, 6))
    assert found(reseal(published)) == {("arrays.zarr/text/zarr.json", "layout")}


def test_unreadable_file_is_a_problem_not_a_crash(published: tuple[Path, str]) -> None:
    (folder_of(published) / "segments.parquet").write_bytes(b"PAR1")
    assert found(reseal(published)) == {("segments.parquet", "unreadable")}
