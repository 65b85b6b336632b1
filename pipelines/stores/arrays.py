"""The arrays of a version: made at their final shape, then written chunk by chunk by anyone."""

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr

from pipelines.config import PrepConfig
from pipelines.storage.faults import storage_faults
from pipelines.storage.files import write_atomic
from pipelines.storage.places import Place, is_local
from schemas.embedding import EmbeddingSpec
from schemas.imu import IMU_CHANNELS, IMU_UNITS
from schemas.manifest import ArraySpec
from schemas.modality import MODALITIES
from schemas.store import ROWS_PER_CHUNK

__all__ = [
    "array_layout",
    "array_spec",
    "chunk_rows",
    "create_arrays",
    "make_chunk",
    "write_chunk",
]

_FILL: Final = {"imu": float("nan"), "video": float("nan"), "text": float("nan"), "valid": False}

Chunk = Mapping[str, npt.NDArray[Any]]
"""Array name: the values of all its rows."""


def array_spec(config: PrepConfig) -> ArraySpec:
    """Return the spec of the imu windows that ``config`` asks for."""
    return ArraySpec(
        channels=IMU_CHANNELS,
        units=IMU_UNITS,
        samples=config.segments.length_ns // config.imu.step_ns,
        rate_hz=config.imu.rate_hz,
        length_ns=config.segments.length_ns,
    )


def array_layout(
    spec: ArraySpec, *, encoder: EmbeddingSpec | None
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the dtype of each array and the shape of one row of it; without encoder two arrays."""
    embeddings: dict[str, tuple[str, tuple[int, ...]]] = {}
    if encoder is not None:
        embeddings["video"] = ("float16", (encoder.video_dim,))
        embeddings["text"] = ("float16", (encoder.text_dim,))
    return {
        "imu": ("float32", (len(spec.channels), spec.samples)),
        **embeddings,
        "valid": ("bool", (len(MODALITIES),)),
    }


def create_arrays(path: Path, *, spec: ArraySpec, encoder: EmbeddingSpec | None, rows: int) -> None:
    """Make the group of a version's arrays: Zarr v3, little-endian, uncompressed, no chunk yet."""
    group = zarr.open_group(path, mode="w-", zarr_format=3)
    for name, (dtype, row) in array_layout(spec, encoder=encoder).items():
        group.create_array(
            name,
            shape=(rows, *row),
            chunks=(ROWS_PER_CHUNK, *row),
            dtype=np.dtype(dtype).newbyteorder("<"),
            compressors=None,
            filters=None,
            fill_value=_FILL[name],
            attributes=_attributes(spec) if name == "imu" else {},
            config={"write_empty_chunks": True},
        )


def chunk_rows(rows: int) -> list[tuple[int, int]]:
    """Return the rows ``[low, high)`` of each chunk."""
    return [(low, min(rows, low + ROWS_PER_CHUNK)) for low in range(0, rows, ROWS_PER_CHUNK)]


def make_chunk(layout: Mapping[str, tuple[str, tuple[int, ...]]], *, rows: int) -> Chunk:
    """Return a whole chunk of every array: zeros, the fill value beyond its last row.

    Args:
        layout: of the arrays.
        rows: of the chunk; fewer than a whole chunk in the last one.
    """
    chunk = {}
    for name, (dtype, row) in layout.items():
        values = np.zeros((ROWS_PER_CHUNK, *row), np.dtype(dtype).newbyteorder("<"))
        values[rows:] = _FILL[name]
        chunk[name] = values
    return chunk


def write_chunk(path: Place, chunk: Chunk, *, low: int) -> list[tuple[str, int, str]]:
    """Write a whole chunk of every array, flushed to disk or taken by the object store.

    Args:
        path: of the group.
        chunk: as ``make_chunk`` gives it, filled in.
        low: its first row.

    Returns:
        File relative to the group, size and SHA-256 of each array's chunk; the digest is of what
        was written, which is not read back.

    Raises:
        FileNotFoundError: if there is no such group any more, on a disk.
        StorageError: if there is no room or no permission.
    """
    written = []
    number = low // ROWS_PER_CHUNK
    for name, values in chunk.items():
        # What Zarr itself would write for an array without codecs, and one copy less.
        parts = ["c", str(number), *["0"] * (values.ndim - 1)]
        file = "/".join([name, *parts])
        if is_local(path):
            _write_file(path / name, parts, values)
        else:
            write_atomic(path / file, values.tobytes())
        written.append((file, values.nbytes, sha256(values.data).hexdigest()))
    return written


def _write_file(folder: Path, parts: list[str], values: npt.NDArray[Any]) -> None:
    with storage_faults(folder):
        for part in parts[:-1]:
            folder /= part
            # Not its parents: a version that was given up meanwhile must not come back.
            folder.mkdir(exist_ok=True)
        with (folder / parts[-1]).open("wb") as stored:
            stored.write(values.data)
            stored.flush()
            os.fsync(stored.fileno())


def _attributes(spec: ArraySpec) -> dict[str, Any]:
    return {
        "channels": list(spec.channels),
        "units": list(spec.units),
        "rate_hz": spec.rate_hz,
        "length_ns": spec.length_ns,
    }
