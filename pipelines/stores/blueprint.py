"""What a version was made from, kept beside the parts: enough to make any object of it again.

One Arrow IPC file ``PARTS/blueprints/<version>.arrow``: the narrations of each take as a record
batch, the rest as JSON beside it. Nothing in it is trusted: what is made from it must have the
digests in the manifest, and the manifest the version's id.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Final, Self

import pyarrow as pa

from pipelines.config import PrepConfig
from pipelines.storage.faults import temporary_faults
from pipelines.storage.files import local_copy, open_atomic
from pipelines.storage.places import Place
from pipelines.stores.prepared_takes import (
    NARRATIONS_SCHEMA,
    PreparedTake,
    join_take,
    narration_batch,
    plain_take,
)
from schemas.errors import StoreDamagedError
from schemas.store import canonical_json

__all__ = ["FOLDER", "Blueprint", "BlueprintWriter", "blueprint_path", "open_blueprint"]

FOLDER: Final = "blueprints"

_TAKE: Final = b"take"
_FACTS: Final = ("manifest", "run", "config", "quarantine")


def blueprint_path(parts_root: Place, version: str) -> Place:
    """Return where the blueprint of a version lies."""
    return parts_root / FOLDER / f"{version}.arrow"


class BlueprintWriter:
    """Follows the takes on their way into a version; a context manager.

    Until the version has an id, what is known lies in a nameless file of this machine.
    """

    def __enter__(self) -> Self:
        with temporary_faults():
            self._file: IO[bytes] = tempfile.TemporaryFile()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        self._writer = pa.ipc.new_file(self._file, NARRATIONS_SCHEMA, options=options)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Thrown away either way; what went wrong before must be what is told.
        with suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._file.close()

    def follow(self, takes: Iterable[PreparedTake]) -> Iterator[PreparedTake]:
        """Yield ``takes`` as they are, each noted down."""
        for prepared in takes:
            self._write(narration_batch(prepared), {_TAKE: canonical_json(plain_take(prepared))})
            yield prepared

    def write(
        self,
        config: PrepConfig,
        *,
        version: str,
        manifest: bytes,
        run: bytes,
        quarantine: pa.Table,
    ) -> None:
        """Put the blueprint beside the parts: whole or not at all.

        Args:
            config: of the run.
            version: id of the version.
            manifest: its file.
            run: its file.
            quarantine: ``QUARANTINE_SCHEMA``.

        Raises:
            StorageError: if there is no room or no permission.
        """
        rows = pa.BufferOutputStream()
        with pa.ipc.new_stream(rows, quarantine.schema) as writer:
            writer.write_table(quarantine)
        facts = {
            b"manifest": manifest,
            b"run": run,
            b"config": canonical_json(config.model_dump(mode="json")),
            b"quarantine": rows.getvalue().to_pybytes(),
        }
        self._write(pa.RecordBatch.from_pylist([], schema=NARRATIONS_SCHEMA), facts)
        with temporary_faults():
            self._writer.close()
            self._file.seek(0)
        with open_atomic(blueprint_path(config.parts_root, version)) as kept:
            shutil.copyfileobj(self._file, kept)

    def _write(self, batch: pa.RecordBatch, metadata: dict[bytes, bytes]) -> None:
        # The file has no name, but a disk that may be full.
        with temporary_faults():
            self._writer.write_batch(batch, custom_metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blueprint:
    """A blueprint that is open for reading."""

    manifest: bytes
    run: bytes
    config: dict[str, Any]
    """As of the run, with its paths."""
    quarantine: pa.Table
    reader: pa.ipc.RecordBatchFileReader

    def takes(self) -> Iterator[PreparedTake]:
        """Yield the takes in ascending take_uid, one at a time."""
        for number in range(self.reader.num_record_batches - 1):
            batch, metadata = self.reader.get_batch_with_custom_metadata(number)
            yield join_take(json.loads(dict(metadata)[_TAKE]), batch)


@contextmanager
def open_blueprint(parts_root: Place, version: str) -> Iterator[Blueprint]:
    """Open the blueprint of a version.

    Raises:
        FileNotFoundError: if there is none.
        StoreDamagedError: if it is no whole blueprint.
        StorageError: if it cannot be read.
    """
    place = blueprint_path(parts_root, version)
    with local_copy(place) as path, pa.OSFile(str(path)) as file:
        try:
            reader = pa.ipc.open_file(file)
            _, metadata = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1)
            facts = {key.decode(): value for key, value in dict(metadata or {}).items()}
            manifest, run, config, rows = (facts[name] for name in _FACTS)
            blueprint = Blueprint(
                manifest=manifest,
                run=run,
                config=json.loads(config),
                quarantine=pa.ipc.open_stream(rows).read_all(),
                reader=reader,
            )
        except (pa.ArrowInvalid, ValueError, KeyError) as error:
            raise StoreDamagedError(f"blueprint must be whole, got {error} [{place}]") from error
        yield blueprint
