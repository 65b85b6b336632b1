"""Make objects of a version again from its blueprint and its parts, one after the other."""

import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from pydantic import ValidationError

from pipelines.config import PrepConfig
from pipelines.profile.work import WorkMeter
from pipelines.storage.faults import TEMPORARY_FIELD
from pipelines.storage.places import Place
from pipelines.stores.array_files import read_row_blocks
from pipelines.stores.arrays import create_arrays
from pipelines.stores.blueprint import Blueprint
from pipelines.stores.chunk_job import write_chunks
from pipelines.stores.tables import SegmentWriter, write_quarantine
from pipelines.stores.tally import VersionTally
from pipelines.stores.task_map import run_here
from pipelines.stores.version_jobs import JOB_ROWS, PlacedTake, VersionJobs
from schemas.errors import StoreDamagedError
from schemas.manifest import Manifest
from schemas.segment import SEGMENT_SCHEMA
from schemas.store import ARRAYS, QUARANTINE, SEGMENTS

__all__ = ["Rebuilder", "make_metadata", "read_config"]


def read_config(blueprint: Blueprint, *, store: Place, parts_root: Place) -> PrepConfig:
    """Return the config of the run that made a version, with the parts where they lie now.

    Raises:
        StoreDamagedError: if this code does not know such a config.
    """
    places = {"uri": str(store), "parts": str(parts_root)}
    given = {**blueprint.config, "store": {**blueprint.config.get("store", {}), **places}}
    try:
        return PrepConfig.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreDamagedError(
            f"blueprint must hold a config that this code knows, got {where}: {first['msg']}"
        ) from error


def make_metadata(folder: Path, *, manifest: Manifest) -> Path:
    """Return ``folder`` with ``zarr.json`` of group and arrays, laid out as the version."""
    if not folder.exists():
        folder.mkdir()
        create_arrays(
            folder / ARRAYS,
            spec=manifest.imu,
            encoder=manifest.encoder,
            rows=manifest.counts.stored,
        )
    return folder


class Rebuilder:
    """Makes objects of one version in a folder of this machine; nothing it makes is proven yet.

    Memory is bounded as in publishing. The folder holds one chunk of every array at a time; all of
    them where windows are resampled one by one.
    """

    def __init__(
        self, manifest: Manifest, *, config: PrepConfig, blueprint: Blueprint, folder: Path
    ) -> None:
        """Make nothing yet.

        Args:
            manifest: of the version.
            config: of the run, with the parts where they lie now.
            blueprint: of the version.
            folder: empty, on this machine.
        """
        self._manifest = manifest
        self._config = config
        self._blueprint = blueprint
        self._folder = folder
        self._last: Path | None = None

    @cached_property
    def quarantine(self) -> Path:
        """Folder with the quarantine table."""
        write_quarantine(self._folder / QUARANTINE, self._blueprint.quarantine)
        return self._folder

    @cached_property
    def segments(self) -> Path:
        """Folder with the segment table, which takes the parts of every take.

        Raises:
            StoreDamagedError: if one of them is missing or altered.
        """
        _ = self._placed  # which writes it
        return self._folder

    def chunk(self, number: int, *, table: Path) -> Path:
        """Return a folder with one chunk of every array.

        Args:
            number: of the chunk.
            table: proven segment table of the version, on this machine.

        Raises:
            StoreDamagedError: if a part of a take in the chunk is missing or altered.
            TakeError: if an embedding has no direction.
        """
        if self._config.imu.resampling == "window":
            return self._every_chunk
        if self._last is not None:
            shutil.rmtree(self._last)
        made, rows = self._folder / f"chunk-{number}", self._folder / "rows.arrow"
        self._last = make_metadata(made, manifest=self._manifest)
        low = 0
        for at, block in enumerate(read_row_blocks(table, columns=SEGMENT_SCHEMA.names)):
            if at == number:
                plan = {
                    "low": low,
                    "high": low + len(block),
                    "pieces": self._cut(block, file=rows),
                }
                write_chunks(
                    {
                        "index": 0,
                        "arrays": str(made / ARRAYS),
                        "spec": self._manifest.imu.model_dump(mode="json"),
                        "chunks": [plan],
                        "config": self._config.model_dump(mode="json"),
                        "encoder": self._encoder,
                    }
                )
                break
            low += len(block)
        return made

    def _cut(self, block: pa.Table, *, file: Path) -> list[dict[str, Any]]:
        """Write rows to a file, a record batch a take, and return what fills their arrays."""
        takes = pl.DataFrame(block.select(["take_uid"]))["take_uid"].rle().struct.unnest()
        pieces: list[dict[str, Any]] = []
        low = 0
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, SEGMENT_SCHEMA) as writer:
            for number, (rows, take_uid) in enumerate(takes.iter_rows()):
                (batch,) = block.slice(low, rows).combine_chunks().to_batches()
                writer.write_batch(batch.replace_schema_metadata(None))
                pieces.append(
                    {
                        "rows": str(file),
                        "batch": number,
                        "low": 0,
                        "high": rows,
                        "keys": self._keys[take_uid],
                        "windows": None,
                    }
                )
                low += rows
        return pieces

    @cached_property
    def _keys(self) -> Mapping[str, Mapping[str, str | None]]:
        return {
            prepared.take.take_uid: {
                "imu": prepared.imu_key,
                "frames": prepared.frames_key,
                "text": prepared.text_key,
            }
            for prepared in self._blueprint.takes()
        }

    @cached_property
    def _encoder(self) -> dict[str, Any] | None:
        encoder = self._manifest.encoder
        return encoder.model_dump(mode="json") if encoder is not None else None

    @cached_property
    def _jobs(self) -> VersionJobs:
        return VersionJobs(
            config=self._config,
            encoder=self._manifest.encoder,
            spec=self._manifest.imu,
            run_tasks=run_here,
            rows=JOB_ROWS,
            meter=WorkMeter(),
            progress=None,
        )

    @cached_property
    def _placed(self) -> list[PlacedTake]:
        scratch = self._folder / "scratch"
        scratch.mkdir()
        with SegmentWriter(self._folder / SEGMENTS, fields=TEMPORARY_FIELD) as table:
            return self._jobs.assemble(
                self._blueprint.takes(),
                scratch=scratch,
                tally=VersionTally(),
                table=table,
                # Whether publishing had to look, nobody wrote down.
                pooled=True,
            )

    @cached_property
    def _every_chunk(self) -> Path:
        made = make_metadata(self._folder / "chunks", manifest=self._manifest)
        self._jobs.write_arrays(made / ARRAYS, placed=self._placed)
        return made
