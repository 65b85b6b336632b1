"""Write a published version of noise, for benchmarks of its reader: nothing is decoded or encoded.

The layout is that of ``docs/store-format.md``, written with zarr and the schemas alone.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from side_by_side import make_parser

from schemas.embedding import EmbeddingSpec
from schemas.imu import IMU_CHANNELS, IMU_UNITS
from schemas.manifest import ArraySpec, Counts, Manifest, ObjectEntry
from schemas.segment import SEGMENT_SCHEMA
from schemas.store import (
    ARRAYS,
    FORMAT_VERSION,
    MANIFEST,
    ROWS_PER_CHUNK,
    SEGMENTS,
    canonical_json,
    ref_path,
    sha256_hex,
    version_id,
    version_path,
)

__all__ = ["AskedVersion", "asked_version", "make_version_parser"]

SAMPLES: Final = 250
WIDTH: Final = 512
WINDOW_NS: Final = 5_000_000_000
PER_TAKE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedVersion:
    """A version of as many segments as were asked for, and how often to read it."""

    root: Path
    """Of its store."""
    version: str
    segments: int
    repeats: int


def make_version_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of benchmarks that read a version."""
    parser = make_parser(description, repeats=5)
    parser.add_argument("--segments", type=int, default=50_000, help="rows (default %(default)s)")
    return parser


@contextmanager
def asked_version(args: argparse.Namespace) -> Iterator[AskedVersion]:
    """Yield a store with the version that ``args`` ask for; it is there for the time."""
    segments, repeats = (5000, 1) if args.quick else (args.segments, args.repeats)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "store"
        version = _write_version(root, segments=segments)
        yield AskedVersion(root=root, version=version, segments=segments, repeats=repeats)


def _table(segments: int) -> pa.Table:
    rows = np.arange(segments)
    take = [f"take-{row // PER_TAKE:06d}" for row in rows]
    start = rows % PER_TAKE * WINDOW_NS
    split = np.array(["train"] * 8 + ["val", "test"])[rows // PER_TAKE % 10]
    columns: dict[str, Any] = {
        "segment_id": [f"{row:032x}" for row in rows],
        "dataset": ["noise"] * segments,
        "take_uid": take,
        "take_name": take,
        "participant": [f"noise:{name}" for name in take],
        "split": split,
        "start_ns": start,
        "end_ns": start + WINDOW_NS,
        "text": [f"C does thing {row % 977}" for row in rows],
    }
    for field in SEGMENT_SCHEMA:
        if field.name in columns:
            continue
        if field.nullable:
            columns[field.name] = pa.nulls(segments, field.type)
        elif pa.types.is_boolean(field.type):
            columns[field.name] = [True] * segments
        else:
            columns[field.name] = np.zeros(segments, np.int64)
    return pa.table(columns, schema=SEGMENT_SCHEMA)


def _fill(array: zarr.Array[Any], *, noise: np.ndarray[Any, Any], unit: bool) -> None:
    for start in range(0, array.shape[0], ROWS_PER_CHUNK):
        count = min(ROWS_PER_CHUNK, array.shape[0] - start)
        # Every chunk differs, and none costs more than a copy.
        block = np.roll(noise, start // ROWS_PER_CHUNK, axis=-1)[:count]
        array[start : start + count] = block / (np.sqrt(WIDTH) if unit else 1)


def _write_version(root: Path, *, segments: int, seed: int = 0) -> str:
    """Write a version of ``segments`` triplets, tag it ``latest`` and return its id."""
    generator = np.random.default_rng(seed)
    staging = root / "staging"
    staging.mkdir(parents=True)
    pq.write_table(_table(segments), staging / SEGMENTS)
    group = zarr.create_group(str(staging / ARRAYS), zarr_format=3)
    layout = {
        "imu": ("<f4", (len(IMU_CHANNELS), SAMPLES)),
        "video": ("<f2", (WIDTH,)),
        "text": ("<f2", (WIDTH,)),
        "valid": ("?", (3,)),
    }
    for name, (dtype, row) in layout.items():
        array = group.create_array(
            name,
            shape=(segments, *row),
            chunks=(ROWS_PER_CHUNK, *row),
            dtype=np.dtype(dtype),
            compressors=None,
            config={"write_empty_chunks": True},
        )
        if name == "valid":
            array[...] = np.ones((segments, *row), np.bool_)
        else:
            noise = generator.standard_normal((ROWS_PER_CHUNK, *row), np.float32)
            _fill(array, noise=noise, unit=name != "imu")
    objects = []
    for path in sorted(p for p in staging.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        name = path.relative_to(staging).as_posix()
        objects.append(ObjectEntry(path=name, size=path.stat().st_size, sha256=digest))
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        dataset="noise",
        config={},
        sources=(),
        encoder=EmbeddingSpec(
            name="noise",
            revision=None,
            weights_sha256=sha256_hex(b"noise"),
            meaning=None,
            video_dim=WIDTH,
            text_dim=WIDTH,
            image_size=224,
            max_tokens=77,
            batch_size=16,
            device_kind="cpu",
            precision="float32",
        ),
        part_versions={},
        imu=ArraySpec(
            channels=IMU_CHANNELS,
            units=IMU_UNITS,
            samples=SAMPLES,
            rate_hz="50",
            length_ns=WINDOW_NS,
        ),
        counts=Counts(planned=segments, stored=segments, takes=-(-segments // PER_TAKE)),
        objects=tuple(objects),
    ).model_dump(mode="json")
    version = version_id(manifest)
    (staging / MANIFEST).write_bytes(canonical_json(manifest))
    target = root / version_path(version)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging.rename(target)
    tag = root / ref_path("latest")
    tag.parent.mkdir(parents=True, exist_ok=True)
    tag.write_bytes(canonical_json({"version": version}))
    return version
