import errno
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.stores import tables
from pipelines.stores.tables import SegmentWriter, write_quarantine
from schemas.errors import StorageError
from schemas.segment import SEGMENT_SCHEMA
from tests.factories import make_quarantine


def rows(low: int, high: int) -> pa.Table:
    def value(field: pa.Field, i: int) -> object:
        if pa.types.is_boolean(field.type):
            return i % 2 == 0
        if pa.types.is_integer(field.type):
            return i
        return float(i) if pa.types.is_floating(field.type) else f"{field.name} {i}"

    return pa.Table.from_pylist(
        [{f.name: value(f, i) for f in SEGMENT_SCHEMA} for i in range(low, high)],
        schema=SEGMENT_SCHEMA,
    )


def write(path: Path, sizes: list[int]) -> bytes:
    low = 0
    with SegmentWriter(path) as writer:
        for size in sizes:
            writer.write(rows(low, low + size))
            low += size
    return path.read_bytes()


def test_bytes_do_not_depend_on_how_rows_came_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP", 8)
    one = write(tmp_path / "a", [21])
    assert write(tmp_path / "b", [1] * 21) == one
    assert write(tmp_path / "c", [0, 5, 12, 4]) == one
    file = pq.ParquetFile(tmp_path / "c")
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [8, 8, 5]
    assert file.read().equals(rows(0, 21))


def test_file_says_its_format_and_schema(tmp_path: Path) -> None:
    write(tmp_path / "a", [1])
    metadata = pq.read_schema(tmp_path / "a").metadata
    assert metadata[b"format_version"] == b"1"
    assert len(metadata[b"schema_sha256"]) == 64


def test_a_full_disk_names_what_moves_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = SegmentWriter(tmp_path / "a", fields="TMPDIR")
    writer.write(rows(0, 1))
    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    said = rf"^{tmp_path}/a must have room: .*\(TMPDIR\), then run again$"
    with pytest.raises(StorageError, match=said), writer:
        pass


def test_no_rows_make_a_readable_empty_file(tmp_path: Path) -> None:
    write(tmp_path / "a", [])
    found = pq.read_table(tmp_path / "a")
    assert found.num_rows == 0
    assert found.schema.equals(SEGMENT_SCHEMA)


def test_quarantine_is_sorted_whoever_finished_first(tmp_path: Path) -> None:
    entries = [
        {"dataset": "d", "take_uid": uid, "reason": "r", "detail": uid, "segments": 1}
        for uid in ("b", "a", "c")
    ]
    for i, order in enumerate((entries, entries[::-1])):
        write_quarantine(tmp_path / str(i), make_quarantine(order))
    assert (tmp_path / "0").read_bytes() == (tmp_path / "1").read_bytes()
    assert pq.read_table(tmp_path / "0")["take_uid"].to_pylist() == ["a", "b", "c"]
