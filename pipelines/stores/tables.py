"""The Parquet files of a version: equal rows give equal bytes."""

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.storage.faults import STORE_FIELDS, storage_faults
from schemas.manifest import QUARANTINE_SCHEMA
from schemas.segment import SEGMENT_SCHEMA
from schemas.store import FORMAT_VERSION, sha256_hex

__all__ = ["ROW_GROUP", "SegmentWriter", "file_schema", "write_quarantine", "write_table"]

ROW_GROUP: Final = 65_536

_OPTIONS: Final[dict[str, Any]] = {"compression": "zstd", "compression_level": 3, "version": "2.6"}


def file_schema(schema: pa.Schema) -> pa.Schema:
    """Return ``schema`` with the metadata of our files: format version and schema digest."""
    described = "\n".join(f"{f.name} {f.type} {f.nullable}" for f in schema)
    return schema.with_metadata(
        {
            "format_version": str(FORMAT_VERSION),
            "schema_sha256": sha256_hex(described.encode()),
        }
    )


class SegmentWriter:
    """Writes the segment table in row groups of a fixed size, whatever sizes rows come in.

    A context manager.

    Args:
        path: of the file.
        fields: that name its place, for the sentence where it is full.
    """

    def __init__(self, path: Path, *, fields: str = STORE_FIELDS) -> None:
        self._path, self._fields = path, fields
        self._schema = file_schema(SEGMENT_SCHEMA)
        with storage_faults(path, fields=fields):
            self._writer = pq.ParquetWriter(path, self._schema, **_OPTIONS)
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        """Append rows of ``SEGMENT_SCHEMA``.

        Raises:
            StorageError: if there is no room.
        """
        self._waiting.append(table.replace_schema_metadata(self._schema.metadata))
        self._rows += len(table)
        while self._rows >= ROW_GROUP:
            self._flush(ROW_GROUP)

    def _flush(self, rows: int) -> None:
        whole = pa.concat_tables(self._waiting).combine_chunks()
        with storage_faults(self._path, fields=self._fields):
            self._writer.write_table(whole.slice(0, rows), row_group_size=ROW_GROUP)
        self._waiting = [whole.slice(rows)]
        self._rows -= rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            # A full disk refuses the end of the file too; what came first tells more.
            with suppress(OSError):
                self._writer.close()
            return
        if self._rows:
            self._flush(self._rows)
        with storage_faults(self._path, fields=self._fields):
            self._writer.close()


def write_quarantine(where: Path | BinaryIO, table: pa.Table) -> None:
    """Write the quarantine table, sorted so that its bytes do not depend on who finished first."""
    ordered = table.select(QUARANTINE_SCHEMA.names).cast(QUARANTINE_SCHEMA)
    keys = [(name, "ascending") for name in ("dataset", "take_uid", "reason", "detail")]
    write_table(where, ordered.sort_by(keys))


def write_table(where: Path | BinaryIO, table: pa.Table) -> None:
    """Write ``table`` to a new Parquet file, or an open one, in our settings."""
    schema = file_schema(table.schema)
    rows = table.combine_chunks().replace_schema_metadata(schema.metadata)
    pq.write_table(rows, where, row_group_size=ROW_GROUP, **_OPTIONS)
