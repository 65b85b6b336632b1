"""A tiny version and its parts, written by hand with zarr and pyarrow alone."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from PIL import Image

from pipelines.parts.store import PartStore
from schemas.embedding import frames_part_schema
from schemas.imu import IMU_CHANNELS, IMU_PART_SCHEMA, IMU_UNITS
from schemas.manifest import QUARANTINE_SCHEMA
from schemas.segment import SEGMENT_SCHEMA
from schemas.store import version_id

SECOND = 1_000_000_000

MakeRow = Callable[..., dict[str, Any]]


def segment_row(**changes: Any) -> dict[str, Any]:
    """Return a plain row of the segment table with ``changes``."""
    row: dict[str, Any] = {
        "segment_id": "0" * 32,
        "dataset": "egoexo4d",
        "take_uid": "a",
        "take_name": "take a",
        "participant": "egoexo4d:1",
        "split": "train",
        "label": "cooking",
        "start_ns": 0,
        "end_ns": 5 * SECOND,
        "narration_ns": 2 * SECOND,
        "text": "stirs the pot",
        "text_raw": "C stirs the pot",
        "text_source": "atomic_descriptions",
        "pass_uid": "p",
        "has_imu": True,
        "has_video": True,
        "has_text": True,
        "imu_stream": "imu-right",
        "imu_frame": "device",
        "task_family": "Cooking",
        "duplicate_index": 0,
        "overlaps": 0,
        "same_window": 0,
        "imu_gap_ns": 1_000_000,
        "frames": 50,
        "frame_error_ns": 1_000,
        "video_variant": "448",
        "decoder": "decord",
        "tokens": 6,
        "clock_uncertainty_ns": 0,
        "take_lag_ns": 2_000_000,
        "take_lag_r2": 0.75,
    }
    row |= dict.fromkeys(name for name in SEGMENT_SCHEMA.names if name not in row)
    assert set(row) == set(SEGMENT_SCHEMA.names)
    assert set(changes) <= set(row)
    return row | changes


def segment_table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SEGMENT_SCHEMA)


def lazy(rows: list[dict[str, Any]]) -> pl.LazyFrame:
    frame = pl.from_arrow(segment_table(rows))
    assert isinstance(frame, pl.DataFrame)
    return frame.lazy()


def jpeg_of(colour: tuple[int, int, int]) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (96, 96), colour).save(buffer, "JPEG")
    return buffer.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandmadeVersion:
    store: Path
    parts_root: Path
    version: str


def write_frames(parts: PartStore, key: str, *, seconds: int) -> None:
    """Write a frames part with one grid frame each half second, a thumbnail each second."""
    schema = frames_part_schema(4)
    n = 2 * seconds
    batch = pa.RecordBatch.from_pylist(
        [
            {
                "t_ns": i * SECOND // 2,
                "pts_ns": i * SECOND // 2,
                "frame_index": 15 * i,
                "embedding": np.full(4, 0.5, np.float16),
                "motion_dx": None if i == 0 else 0.01,
                "motion_dy": None if i == 0 else 0.0,
                "motion_peak": None if i == 0 else 0.9,
                "decoder": "decord",
                "jpeg": jpeg_of((12 * i, 80, 160)) if i % 2 == 0 else None,
            }
            for i in range(n)
        ],
        schema=schema,
    )
    parts.write("frames", key, schema=schema, batches=[batch])


def write_imu(parts: PartStore, key: str, *, seconds: int) -> None:
    """Write a 50 Hz imu part whose gyro is 1, 2, 3 rad/s and whose first second is not valid."""
    n = 50 * seconds
    t_ns = np.arange(n, dtype=np.int64) * SECOND // 50
    columns = [np.full(n, c - 2, np.float32) for c in range(6)]
    counts = [np.zeros(n, np.int32)] * 4 + [np.zeros(n, np.int64), np.zeros(n)]
    arrays = [t_ns, *columns, np.full(n, 1_000_000), t_ns >= SECOND, *counts]
    batch = pa.RecordBatch.from_arrays([pa.array(a) for a in arrays], schema=IMU_PART_SCHEMA)
    parts.write("imu", key, schema=IMU_PART_SCHEMA, batches=[batch.slice(0, 70), batch.slice(70)])


def handmade_imu(n: int) -> npt.NDArray[np.float32]:
    t = np.arange(250) / 50
    waves = np.stack([np.sin(2 * np.pi * (c + 1) * t / 2) * (c + 1) for c in range(6)])
    return np.repeat(waves[None], n, axis=0).astype(np.float32)


@pytest.fixture
def make_version(tmp_path: Path) -> Callable[..., HandmadeVersion]:
    """Return a writer of versions: rows of the segment table in, a store out."""

    def write(
        rows: list[dict[str, Any]],
        *,
        imu: npt.NDArray[np.float32] | None = None,
        counts: dict[str, Any] | None = None,
        quarantine: list[dict[str, Any]] | None = None,
        meaning: str | None = None,
        encoder: bool = True,
        quality: dict[str, dict[str, float]] | None = None,
        format_version: int = 1,
        run: bool = True,
        seconds: int = 20,
    ) -> HandmadeVersion:
        store = tmp_path / "store"
        folder = store / "versions" / "unnamed"
        folder.mkdir(parents=True)
        pq.write_table(segment_table(rows), folder / "segments.parquet")
        held = pa.Table.from_pylist(quarantine or [], schema=QUARANTINE_SCHEMA)
        pq.write_table(held, folder / "quarantine.parquet")
        group = zarr.open_group(folder / "arrays.zarr", mode="w")
        windows = handmade_imu(len(rows)) if imu is None else imu
        group.create_array("imu", data=windows, chunks=(4096, 6, 250), compressors=None)
        manifest = {
            "format_version": format_version,
            "dataset": "egoexo4d",
            "config": {"segments": {"policy": "narration", "length_ms": 5000}},
            "sources": [],
            "encoder": {
                "name": "tiny",
                "revision": None,
                "weights_sha256": "00",
                "meaning": meaning,
                "video_dim": 4,
                "text_dim": 4,
                "image_size": 32,
                "max_tokens": 77,
                "batch_size": 32,
                "device_kind": "cpu",
                "precision": "float32",
            }
            if encoder
            else None,
            "part_versions": {"imu": 1, "frames": 1, "text": 1},
            "imu": {
                "channels": list(IMU_CHANNELS),
                "units": list(IMU_UNITS),
                "samples": 250,
                "rate_hz": "50",
                "length_ns": 5 * SECOND,
            },
            "counts": {"planned": len(rows), "stored": len(rows), "takes": 1, **(counts or {})},
            "quality": quality or {},
            "objects": [],
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        version = version_id(manifest)
        parts_root = store / "parts"
        uids = sorted({row["take_uid"] for row in rows})
        keys = {uid: dict.fromkeys(("imu", "frames"), f"{i:064x}") for i, uid in enumerate(uids)}
        for taken in keys.values():
            write_frames(PartStore(parts_root), taken["frames"], seconds=seconds)
            write_imu(PartStore(parts_root), taken["imu"], seconds=seconds)
        if run:
            record = {
                "version": version,
                "made_at": "2025-01-02T03:04:05Z",
                "seconds": {"imu": 1.25},
                "executor": "threads",
                "workers": 2,
                "computed_takes": 1,
                "reused_takes": 0,
                "commit": None,
                "parts": keys,
            }
            (folder / "run.json").write_text(json.dumps(record))
        folder.rename(folder.with_name(version))
        return HandmadeVersion(store=store, parts_root=parts_root, version=version)

    return write
