"""The folder of parts: one Arrow IPC file each, named by its key, there only when whole.

A part ends in an empty record batch whose metadata holds a digest of every batch before it, and one
of the schema. Its presence proves the file complete, the digests prove the bytes; nothing else
decides what is done.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Literal

import pyarrow as pa

from pipelines.storage.copies import kept_copy
from pipelines.storage.faults import storage_faults
from pipelines.storage.files import open_atomic
from pipelines.storage.places import Place
from schemas.errors import StoreDamagedError

__all__ = ["PartKind", "PartStore"]

PartKind = Literal["imu", "raw_imu", "frames", "text"]

_DIGEST = b"sha256"
# Another name or type of a column, in a file whose columns are whole, is damage as well.
_SCHEMA_DIGEST = b"schema_sha256"
_BATCHES_AT_ONCE = 16


class PartStore:
    """Parts under one root: a folder, or a place in an object store.

    There a part is written by one PUT, and read from a copy on this machine.
    """

    def __init__(self, root: Place) -> None:
        self.root = root

    def path(self, kind: PartKind, key: str) -> Place:
        """Return where the part of ``key`` lies or will lie."""
        return self.root / kind / key[:2] / f"{key}.arrow"

    def has(self, kind: PartKind, key: str) -> bool:
        """Whether the part is there and verifies; a damaged one counts as not there.

        Raises:
            StorageError: if the place does not answer or may not be read.
        """
        path = self.path(kind, key)
        with storage_faults(path):
            if not path.exists():
                return False
        try:
            self.check(kind, key)
        except StoreDamagedError:
            return False
        return True

    def write(
        self,
        kind: PartKind,
        key: str,
        *,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        metadata: dict[str, str] | None = None,
    ) -> Place:
        """Stream ``batches`` into the part of ``key``; it appears only when whole.

        Raises:
            StorageError: if there is no room, no permission or no answer.
        """
        path = self.path(kind, key)
        schema = schema.with_metadata({"key": key, "kind": kind, **(metadata or {})})
        digest = sha256()
        with open_atomic(path) as file, pa.ipc.new_file(file, schema) as writer:
            for batch in batches:
                batch = batch.replace_schema_metadata(schema.metadata)
                digest.update(batch.serialize())
                writer.write_batch(batch)
            end = pa.RecordBatch.from_pylist([], schema=schema)
            digests = {_DIGEST: digest.hexdigest().encode(), _SCHEMA_DIGEST: _schema_digest(schema)}
            writer.write_batch(end, custom_metadata=digests)
        return path

    def read(self, kind: PartKind, key: str) -> Iterator[pa.RecordBatch]:
        """Yield the part's batches one by one; the digest is checked at the end.

        Raises:
            StoreDamagedError: if the file is missing, cut short or altered.
            StorageError: if the place does not answer or may not be read.
        """
        path = self.path(kind, key)
        digest = sha256()
        with _open_part(path, key) as reader:
            last = reader.num_record_batches - 1
            for i in range(reader.num_record_batches):
                try:
                    batch, custom = reader.get_batch_with_custom_metadata(i)
                    # Arrow ends the process when it writes less than no vectors.
                    batch.validate()
                except (pa.ArrowException, OSError) as error:
                    raise StoreDamagedError(
                        f"part must be readable, got {error} [{path}]"
                    ) from error
                if i < last:
                    digest.update(batch.serialize())
                    yield batch
                    continue
                told = dict(custom or {})
                # Parts written before the schema had a digest are as good as ever.
                schema_told = told.get(_SCHEMA_DIGEST, _schema_digest(reader.schema))
                if (told.get(_DIGEST), schema_told) != (
                    digest.hexdigest().encode(),
                    _schema_digest(reader.schema),
                ):
                    raise StoreDamagedError(f"part must match its digest, delete it [{path}]")

    def read_columns(self, kind: PartKind, key: str, *, names: Sequence[str]) -> pa.Table:
        """Return some columns of a part, in the order of ``names``.

        The others are not read from disk, so the digest cannot be checked: for parts that were read
        whole before, or are by the end of the run.

        Raises:
            StoreDamagedError: if the file is missing, cut short or lacks a column.
        """
        path = self.path(kind, key)
        with _open_part(path, key) as whole:
            lacking = [name for name in names if name not in whole.schema.names]
            if lacking:
                raise StoreDamagedError(f"part must have column {lacking[0]} [{path}]")
            fields = [whole.schema.get_field_index(name) for name in names]
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        with _open_part(path, key, options=options) as reader:
            try:
                return _read_compact(reader).select(names)
            except (pa.ArrowException, OSError) as error:
                raise StoreDamagedError(f"part must be readable, got {error} [{path}]") from error

    def check(self, kind: PartKind, key: str) -> None:
        """Read a part to its end for its digest alone.

        Raises:
            StoreDamagedError: if the file is missing, cut short or altered.
        """
        for _ in self.read(kind, key):
            pass

    def read_table(self, kind: PartKind, key: str) -> pa.Table:
        """Return the whole part as a table, its metadata in ``schema.metadata``."""
        batches = list(self.read(kind, key))
        with _open_part(self.path(kind, key), key) as reader:
            return pa.Table.from_batches(batches, schema=reader.schema)


def _read_compact(reader: pa.ipc.RecordBatchFileReader) -> pa.Table:
    """Return what ``reader`` gives without what it had to read beside it.

    A column of a batch keeps the memory of all its columns, of those that are not wanted too:
    copies of some batches at a time do not.
    """
    found: list[pa.Table] = []
    for low in range(0, reader.num_record_batches, _BATCHES_AT_ONCE):
        high = min(low + _BATCHES_AT_ONCE, reader.num_record_batches)
        some = pa.Table.from_batches([reader.get_batch(i) for i in range(low, high)])
        found.append(some.combine_chunks())
    return pa.concat_tables(found)


def _schema_digest(schema: pa.Schema) -> bytes:
    return sha256(schema.serialize()).hexdigest().encode()


@contextmanager
def _open_part(
    path: Place, key: str, *, options: pa.ipc.IpcReadOptions | None = None
) -> Iterator[pa.ipc.RecordBatchFileReader]:
    try:
        with kept_copy(path) as copy:
            with storage_faults(path):
                source = pa.OSFile(str(copy))
            with source, pa.ipc.open_file(source, options=options) as reader:
                if (reader.schema.metadata or {}).get(b"key") != key.encode():
                    raise StoreDamagedError(f"part must carry its own key {key} [{path}]")
                if reader.num_record_batches == 0:
                    raise StoreDamagedError(f"part must end in its digest [{path}]")
                yield reader
    except FileNotFoundError as error:
        raise StoreDamagedError(f"part must be there [{path}]") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        # A disk's faults have a number, Arrow's word for bytes that cannot be has none.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise StoreDamagedError(
            f"part must be a whole Arrow IPC file, got {error} [{path}]"
        ) from error
